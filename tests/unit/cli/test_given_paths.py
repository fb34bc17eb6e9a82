"""Names that no file can have are answered like those of files that are not there."""

import click
import pytest
from click.testing import CliRunner

from services.cli.local.testing import test_command as cases_command
from services.cli.local.validating import validate_command
from services.cli.remote.starting import request_of

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
