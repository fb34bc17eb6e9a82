"""Names that no file can have are answered like those of files that are not there, and a pipe is read like a file."""

import os
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from services.cli.local.testing import test_command as cases_command
from services.cli.local.validating import validate_command
from services.cli.remote.starting import request_of
from shared.errors import ConfigInvalid

TOO_LONG = "x" * 300


@pytest.mark.parametrize(
    ("command", "exit_code", "message"),
    [(validate_command, 1, "cannot read the file: File name too long"), (cases_command, 2, "there is no file")],
)
def test_a_name_that_is_too_long_for_a_file_is_answered_with_a_message(
    command: click.Command, exit_code: int, message: str
) -> None:
    result = CliRunner().invoke(command, [TOO_LONG])

    assert (result.exit_code, type(result.exception)) == (exit_code, SystemExit)
    assert message in result.stderr


def test_a_name_that_is_too_long_for_a_file_is_that_of_a_dag_on_the_server() -> None:
    assert request_of(TOO_LONG, "", "", "")[0] == f"/dags/{TOO_LONG}"


@pytest.mark.parametrize("path", ["/nowhere/report.yaml", "nowhere/report.yaml", "../report.yml", "nowhere/report"])
def test_a_file_that_is_missing_from_another_folder_is_no_dag_on_the_server(path: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"there is no file {path} here; for a DAG of the server"):
        request_of(path, "", "", "", quiet=True)


@pytest.mark.parametrize("path", ["report", "report.yaml", "./report.yml"])
def test_a_file_that_is_missing_here_is_the_dag_of_its_name(path: str) -> None:
    assert request_of(path, "", "", "", quiet=True)[0] == "/dags/report"


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "piped"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("steps: [echo a]\n",), daemon=True)
    writer.start()

    where, body = request_of(str(pipe), "", "", "")

    assert (where, body["name"], body["spec"]) == ("/dag-runs", "piped", "steps: [echo a]\n")
    writer.join()
