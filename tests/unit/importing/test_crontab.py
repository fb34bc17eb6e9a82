"""Crontabs become workflows."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from services.importing.crontab import cron_lines, import_crontab, workflow_of
from shared.language.load import load
from shared.settings.config import load_config
from tests.harness.procs import clean_environment

TAB = r"""
# Comments and empty lines count for nothing.
MAILTO=ops@example.org
PATH = "/usr/bin:/bin"
30 2 * * 1-5  /opt/bin/backup.sh --all >> /tmp/log 2>&1
SHELL=/bin/bash
CRON_TZ=Europe/Berlin
@daily date +\%Y
0 0 * * sun mail -s hi root%Hello%100\% of you
@reboot /opt/bin/start
* * * * *
61 * * * * echo never
"""


def test_each_line_has_its_schedule_its_command_and_the_variables_above_it() -> None:
    first, daily, mail, *_ = cron_lines(TAB)

    assert (first.number, first.schedule) == (5, "30 2 * * 1-5")
    assert first.command == "/opt/bin/backup.sh --all >> /tmp/log 2>&1"
    assert first.env == {"MAILTO": "ops@example.org", "PATH": "/usr/bin:/bin"}
    assert (daily.schedule, daily.env["SHELL"]) == ("0 0 * * *", "/bin/bash")
    assert mail.name.startswith("mail-")
    moved = next(cron_lines(f"\n{TAB}"))
    assert (moved.name, workflow_of(moved)) == (first.name, workflow_of(first))
    assert first.name != daily.name


def test_the_workflow_does_what_the_line_does() -> None:
    first, daily, mail, *_ = (load(workflow_of(line), file_name=line.name) for line in cron_lines(TAB))

    for loaded in (first, daily, mail):
        assert loaded.issues == ()
    assert first.dag is not None
    assert daily.dag is not None
    assert mail.dag is not None
    assert first.dag.env == (("PATH", "/usr/bin:/bin"),)
    assert [command.text for command in first.dag.steps[0].commands] == ["/opt/bin/backup.sh --all >> /tmp/log 2>&1"]
    assert [command.text for command in daily.dag.steps[0].commands] == ["date +%Y"]
    assert "CRON_TZ=Europe/Berlin 0 0 * * *" in workflow_of([*cron_lines(TAB)][1])
    assert mail.dag.steps[0].script == "{ mail -s hi root\n} <<'END_OF_STDIN'\nHello\n100% of you\nEND_OF_STDIN"


def test_in_a_system_crontab_a_user_precedes_the_command() -> None:
    (line,) = cron_lines("17 * * * * root cd / && run-parts /etc/cron.hourly\n", system=True)

    assert line.command == "cd / && run-parts /etc/cron.hourly"


def test_lines_are_stored_once_and_refused_with_the_reason(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    config = replace(load_config({"data_dir": str(tmp_path / "data")}, {}, terminal=False), dags_dir=dags)

    tried = import_crontab(config, TAB, "test", dry_run=True)
    assert not dags.exists()
    report = import_crontab(config, TAB, "test")
    again = import_crontab(config, TAB, "test")

    assert tried.counts() == report.counts()
    assert [entry.result for entry in report.entries] == ["differs"] * 3 + ["refused"] * 3
    assert report.entries[0].why == "output is not mailed to ops@example.org: see mailOn in the workflow reference"
    why = {entry.name: entry.why for entry in report.entries if entry.result == "refused"}
    assert (why["10"], why["11"]) == ("@reboot has no counterpart", "the line has no command")
    assert why["12"].startswith("schedule: invalid schedule: ")
    assert "61" in why["12"]
    assert again.counts()["workflow"] == {"loaded": 0, "unchanged": 3, "differs": 0, "refused": 0}
    assert sorted(path.suffix for path in dags.iterdir()) == [".yaml"] * 3


def test_a_workflow_that_cannot_be_read_in_the_folder_says_why(tmp_path: Path) -> None:
    config = load_config({"data_dir": str(tmp_path / "data")}, {}, terminal=False)
    (tmp_path / "dags").touch()

    report = import_crontab(replace(config, dags_dir=tmp_path / "dags"), "0 1 * * * echo hi\n", "0")

    [entry] = report.entries
    assert (entry.result, entry.why.rpartition(".yaml: ")[2]) == ("differs", "cannot be read: Not a directory")


def test_a_line_that_is_not_utf_8_is_refused_instead_of_changed() -> None:
    text = b"0 1 * * * tar -c /srv/caf\xe9\n0 2 * * * true\nFOLDER=caf\xe9\n0 3 * * * true\n".decode(errors="replace")

    assert [bool(line.problem) for line in cron_lines(text)] == [True, False, True]


def test_the_folder_of_the_workflows_need_not_exist(tmp_path: Path) -> None:
    (tmp_path / "crontab").write_text("0 3 * * * /opt/b.sh\n")

    def imported(*options: str) -> subprocess.CompletedProcess[str]:
        argv = [str(Path(sys.executable).with_name("dagway")), "import", "crontab", "crontab", *options]
        env = clean_environment(tmp_path)
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)

    assert imported("--dags", "dags", "--dry-run").returncode == 0
    assert not (tmp_path / "dags").exists()
    assert imported("--dags", "dags").returncode == 0
    assert [path.name for path in (tmp_path / "dags").iterdir()] == ["b.sh-22b1b4.yaml"]
    refused = imported("--dags", "crontab")
    assert (refused.returncode, "crontab is not a folder" in refused.stderr) == (2, True), refused.stderr


@pytest.mark.parametrize("text", ["", "# nothing\n", "A=b\n"])
def test_a_crontab_without_lines_is_fine(text: str) -> None:
    assert [*cron_lines(text)] == []
