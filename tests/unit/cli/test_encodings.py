"""Text that is not UTF-8: in files, in arguments, and in the locale of the terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli import cli
from services.cli.local.bundle import read_bundle
from services.cli.remote.starting import request_of

LATIN = "steps:\n  - name: greet\n    command: echo café\n".encode("latin-1")
NOT_UTF_8 = os.fsdecode(b"caf\xe9")


def dagway(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from services.cli.root import main; main()", *args]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **variables}
    return subprocess.run(command, env=environment, capture_output=True, encoding="latin-1", check=False)


def test_a_file_that_is_not_utf_8_has_the_same_text_for_all_commands(tmp_path: Path) -> None:
    file = tmp_path / "greet.yaml"
    file.write_bytes(LATIN)

    assert CliRunner().invoke(cli, ["validate", str(file)]).exit_code == 0
    assert "caf\N{REPLACEMENT CHARACTER}" in CliRunner().invoke(cli, ["dry", str(file)]).stdout
    assert "echo caf\N{REPLACEMENT CHARACTER}" in read_bundle(file).spec
    assert "echo caf\N{REPLACEMENT CHARACTER}" in request_of(str(file), "", "", "")[1]["spec"]


def test_a_file_in_utf_16_is_refused_with_advice(tmp_path: Path) -> None:
    file = tmp_path / "greet.yaml"
    file.write_bytes("steps: [echo hi]\n".encode("utf-16"))

    for command in ("validate", "dry"):
        result = CliRunner().invoke(cli, [command, str(file)])
        assert (result.exit_code, "(save the file as UTF-8 text)" in result.output) == (1, True)


def test_a_file_that_is_not_utf_8_is_not_formatted(tmp_path: Path) -> None:
    file = tmp_path / "greet.yaml"
    file.write_bytes(LATIN)

    result = CliRunner().invoke(cli, ["fmt", str(file)])

    assert result.stderr == f"{file}: line 3: this is not UTF-8 (save the file as UTF-8 text)\n"
    assert (result.exit_code, file.read_bytes()) == (1, LATIN)


@pytest.mark.parametrize("args", [("status", NOT_UTF_8), ("start", "hello", "--", f"NAME={NOT_UTF_8}")])
def test_an_argument_that_is_not_utf_8_is_refused(args: tuple[str, ...]) -> None:
    result = dagway(*args)

    assert result.returncode == 2
    assert result.stderr.startswith("dagway: not UTF-8 text: ")
    assert result.stderr.count("\n") == 1


def test_characters_that_the_terminal_lacks_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "greet.yaml"
    file.write_text("steps:\n  - name: greet\n    command: echo é ✓\n", encoding="utf-8")

    result = dagway("dry", str(file), PYTHONIOENCODING="latin-1")

    assert (result.returncode, result.stderr) == (0, "")
    assert "echo é ?" in result.stdout


@pytest.mark.parametrize("closed", [1, 2])
def test_a_command_works_while_an_output_is_closed(closed: int, tmp_path: Path) -> None:
    file = tmp_path / "greet.yaml"
    file.write_text("steps:\n  - echo hi\n", encoding="utf-8")
    command = [sys.executable, "-c", "from services.cli.root import main; main()", "run", str(file)]

    result = subprocess.run(["sh", "-c", f'"$@" {closed}>&-', "sh", *command], capture_output=True, check=False)

    assert (result.returncode, b"Traceback" in result.stderr) == (0, False)
