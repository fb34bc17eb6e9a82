"""The help pages, docs/cli.md and the time until ``dagway --help`` answers."""

import os
import re
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from services.cli import cli
from services.cli.catalog import COMMANDS, SECTIONS, CatalogEntry
from tests.harness.procs import OWN_PROGRAM

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_the_table_of_commands_says_what_the_help_page_begins_with(entry: CatalogEntry) -> None:
    command = cli.get_command(click.Context(cli), entry.name)

    assert command is not None
    assert command.name == entry.name
    assert entry.section in SECTIONS
    assert (command.help or "").split("\n\n")[0].rstrip().rstrip(".").startswith(entry.help)
    page = CliRunner().invoke(cli, [entry.name, "--help"])
    assert (page.exit_code, page.stderr) == (0, "")


def test_a_misspelled_command_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(cli, ["strat", "hello"])

    assert result.exit_code == 2
    assert "there is no command 'strat' (did you mean \"start\"?)" in result.stderr


@pytest.mark.parametrize(
    ("command", "advice"), [("server", "dagway up"), ("coordinator", "RabbitMQ"), ("help", "dagway COMMAND --help")]
)
def test_a_command_that_only_dagu_has_is_answered_with_what_to_do_here(command: str, advice: str) -> None:
    result = CliRunner().invoke(cli, [command])

    assert result.exit_code == 2
    assert f"there is no command '{command}' (" in result.stderr
    assert advice in result.stderr


def test_the_name_of_a_dag_in_place_of_a_file_is_answered_with_the_command_that_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["run", "hello"])

    assert result.exit_code == 2
    assert "there is no file hello here; for a DAG on a server: dagway start hello" in result.stderr
    assert "dagway start" not in CliRunner().invoke(cli, ["run", "dags/hello.yaml"]).stderr


def test_a_database_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGWAY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    result = CliRunner().invoke(cli, ["migrate"])

    assert result.exit_code == 1
    assert result.stderr.startswith("dagway: the database is unavailable: connection to server at"), result.stderr


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(cli, ["version"]).stdout == f"{version('dagway')}\n"


def test_the_help_page_imports_no_service_and_no_server() -> None:
    heavy = "services.api services.scheduler services.worker shared.settings"
    heavy += " sqlalchemy pydantic flask urllib3 rich yaml"
    program = (
        "import sys; from click.testing import CliRunner; from services.cli import cli;"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0;"
        f"print(sorted(set({heavy.split()!r}) & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("command", ["version", "--help", "ls --help", "completion bash"])
def test_output_that_cannot_be_written_ends_a_command_with_one_line(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [OWN_PROGRAM, *command.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (done.returncode, done.stderr) == (1, "dagway: cannot write: No space left on device\n")


def test_a_file_that_may_not_be_used_ends_a_command_with_one_line() -> None:
    # As root every folder may be written, but none may be made in /sys.
    environment = {**os.environ, "HOME": "/sys"}
    done = subprocess.run(
        [OWN_PROGRAM, "completion", "bash", "--install"], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"dagway: /sys/\S+: (Operation not permitted|Permission denied|Read-only .*)\n", done.stderr)


def test_a_file_in_the_place_of_a_folder_ends_a_command_with_one_line(tmp_path: Path) -> None:
    (tmp_path / ".local").touch()
    (tmp_path / "w.yaml").write_text("steps: [echo hi]\n")
    (tmp_path / "w.test.yaml").write_text("cases: [{name: a, expect: {status: succeeded}}]\n")
    in_vain = {
        "completion bash --install": r"/\S+: Not a directory",
        "test w.test.yaml --junit w.yaml/results.xml": "w.yaml: File exists",
        "test w.test.yaml --junit /proc/none/results.xml": r"/proc\S*: (No such file or|Read-only) .*",
        f"up --data-dir {'a' * 300}": r"/\S+: File name too long",
    }

    for command, said in in_vain.items():
        done = subprocess.run(
            [OWN_PROGRAM, *command.split()],
            env={**os.environ, "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert re.fullmatch(f"(.*\n)*dagway: {said}\n", done.stderr), done.stderr


def test_a_current_folder_that_was_removed_ends_a_command_with_one_line(tmp_path: Path) -> None:
    (gone := tmp_path / "gone").mkdir()
    there = f"cd {gone} && rmdir {gone} && exec {OWN_PROGRAM} ls"
    done = subprocess.run(["sh", "-c", there], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (1, "dagway: the current folder: No such file or directory\n")


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word() -> None:
    command = subprocess.Popen([OWN_PROGRAM, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert command.stdout is not None
    command.stdout.close()

    assert (command.communicate()[1], command.returncode) == ("", 1)


def test_the_page_about_the_command_line_is_current() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "cli_doc.py"))["document"]()

    assert (ROOT / "docs" / "cli.md").read_text() == written, "run python scripts/cli_doc.py"


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_completion_is_installed_where_the_shell_looks(shell: str, tmp_path: Path) -> None:
    runner = CliRunner(env={"HOME": str(tmp_path)})

    printed = runner.invoke(cli, ["completion", shell])
    installed = runner.invoke(cli, ["completion", shell, "--install"])

    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written.read_text() in printed.output
    assert f"_DAGWAY_COMPLETE={shell}_complete" in written.read_text()
    assert installed.stdout.startswith(f"written to {written};")


def test_commands_are_completed_without_a_server() -> None:
    completed = CliRunner(env={"_DAGWAY_COMPLETE": "bash_complete", "COMP_WORDS": "dagway re", "COMP_CWORD": "1"})

    words = completed.invoke(cli, prog_name="dagway").output.split()
    assert words == ["plain,reject", "plain,restart", "plain,resume", "plain,retry"]
