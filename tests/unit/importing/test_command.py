"""``dagway import``: what it prints, and its exit code."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from services.cli import cli
from shared.store.migrate import current, migrate
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.dagu_home import HomeOfDagu

TEXT = "steps:\n  - name: one\n    command: echo 1\n"


def dagway(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, ["import", *arguments], input=stdin, catch_exceptions=False)


def test_a_home_is_reported_as_json(tmp_path: Path) -> None:
    home = HomeOfDagu(tmp_path / "home")
    home.workflow("w", TEXT)
    home.run("w", "r", TEXT, 4, [{"name": "one", "status": 4, "log": "1\n"}])
    data = tmp_path / "data"

    found = dagway("dagu", str(home.root), "--data-dir", str(data), "--json")

    assert found.exit_code == 0
    entries = json.loads(found.stdout)["entries"]
    assert entries == [
        {"kind": "workflow", "name": "w.yaml", "result": "loaded"},
        {"kind": "run", "name": "w/r", "result": "loaded"},
    ]
    assert (data / "dagway.db").is_file()


def test_a_refused_line_is_told_and_makes_the_exit_code_1(tmp_path: Path) -> None:
    found = dagway("crontab", "-", "--data-dir", str(tmp_path), "--dry-run", stdin="@daily true\n@reboot true\n")

    assert found.exit_code == 1
    assert found.stdout.splitlines() == [
        "line 2: refused: @reboot has no counterpart",
        "workflow     1 loaded",
        "line         1 refused",
    ]


def test_what_is_no_home_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    found = dagway("dagu", str(tmp_path), "--data-dir", str(tmp_path / "data"))

    assert found.exit_code == 2
    assert "not a Dagu home folder" in found.stderr


def test_the_database_of_an_earlier_version_that_runs_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'dagway.db'}"
    migrate(url)
    with closing(sqlite3.connect(tmp_path / "dagway.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '0051'")

    with closing(EmbeddedTransport(tmp_path / "transport.sqlite3")):  # as `dagway up` opens it
        found = dagway("crontab", "-", "--data-dir", str(tmp_path), stdin="@daily true\n")

    assert (found.exit_code, current(url)) == (1, "0051")
    assert "another dagway uses this folder" in found.stderr
