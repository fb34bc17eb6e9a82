"""What a move refuses, and that a moved folder is closed. tests/conformance/test_moving.py has the move itself."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from services.cli import cli
from services.importing.dagu import import_dagu
from services.importing.moving import move
from shared.clock import utc_now
from shared.errors import BrokerUnavailable, ConfigInvalid
from shared.moved_folder import Mark, close_folder, mark_of, require_open
from shared.settings.config import Config, load_config
from shared.store import tables as t
from shared.store.engine import open_engine, transaction
from shared.transport.base import COMMANDS, EVENTS
from shared.transport.embedded.journal import Journal, StoredMessage
from tests.harness.dagu_home import HomeOfDagu
from tests.harness.databases import migrated_sqlite

ONE = "steps:\n  - name: one\n    command: echo 1\n"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A data folder with one run."""
    found = load_config({"data_dir": str(tmp_path / "data")}, {}, terminal=False)
    found.make_data_dir()
    migrated_sqlite(found.data_dir / "dagway.db")
    home = HomeOfDagu(tmp_path / "home")
    home.workflow("w", ONE)
    home.run("w", "r1", ONE, 4, [{"name": "one", "status": 4, "log": "1\n"}])
    assert import_dagu(found, home.root, "test").refused == 0
    return found


@pytest.fixture
def target(tmp_path: Path) -> str:
    return migrated_sqlite(tmp_path / "target.db")


def add_messages(config: Config, queue: str, count: int) -> None:
    journal = Journal(config.data_dir / "transport.sqlite3")
    for seq in range(journal.last_seq, journal.last_seq + count):
        journal.add(StoredMessage(seq + 1, queue, f"m{seq}", b"x", 0), lambda _: None)
    journal.close()


def runs(url: str) -> int:
    engine = open_engine(url, read_only=True)
    with transaction(engine) as connection:
        found = len(connection.execute(select(t.dag_runs.c.run_key)).all())
    engine.dispose()
    return found


def test_a_moved_folder_is_closed_and_a_second_move_changes_nothing(config: Config, target: str) -> None:
    first = move(config, target)
    engine = open_engine(target)
    with transaction(engine) as connection:  # what the new system does
        connection.execute(insert(t.specs).values(hash="x", yaml="x", created_at=utc_now()))
    engine.dispose()
    second = move(config, target)

    assert (first.before, second.before) == (False, True)
    assert first.rows == second.rows
    with pytest.raises(ConfigInvalid, match="was moved to sqlite"):
        require_open(config.data_dir)
    with pytest.raises(ConfigInvalid, match=r"target\.db, so it cannot be moved to another"):
        move(config, target.replace("target.db", "other.db"))


def test_a_move_that_was_cut_off_before_its_commit_is_made_by_the_next(config: Config, target: str) -> None:
    close_folder(config.data_dir, target, pending=True)
    with pytest.raises(ConfigInvalid, match=r"was interrupted: repeat dagway move --to with the same database"):
        require_open(config.data_dir)

    assert not move(config, target).before
    assert runs(target) == 1
    assert mark_of(config.data_dir) == Mark(target, pending=False)


def test_a_move_that_was_cut_off_after_its_commit_is_known_to_be_done(config: Config, target: str) -> None:
    move(config, target)
    close_folder(config.data_dir, target, pending=True)
    engine = open_engine(target)
    with transaction(engine) as connection:  # the new system has been started
        connection.execute(insert(t.specs).values(hash="x", yaml="x", created_at=utc_now()))
    engine.dispose()

    assert move(config, target).before
    assert mark_of(config.data_dir) == Mark(target, pending=False)


def test_data_of_somebody_else_is_not_taken_for_an_interrupted_move(config: Config, target: str) -> None:
    close_folder(config.data_dir, target, pending=True)
    engine = open_engine(target)
    with transaction(engine) as connection:
        connection.execute(insert(t.specs).values(hash="x", yaml="x", created_at=utc_now()))
    engine.dispose()

    with pytest.raises(ConfigInvalid, match=r"has data of its own \(specs\)"):
        move(config, target)
    assert runs(target) == 0


def test_a_dry_run_counts_and_changes_nothing(config: Config, target: str) -> None:
    result = CliRunner(env={"DAGWAY_DATA_DIR": str(config.data_dir)}).invoke(
        cli, ["move", "--to", target, "--dry-run", "--json"]
    )

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"]["dag_runs"] == 1
    assert runs(target) == 0
    require_open(config.data_dir)


def test_a_database_with_data_of_its_own_is_refused(config: Config, target: str) -> None:
    engine = open_engine(target)
    with transaction(engine) as connection:
        connection.execute(insert(t.specs).values(hash="x", yaml="x", created_at=utc_now()))
    engine.dispose()

    with pytest.raises(ConfigInvalid, match=r"has data of its own \(specs\): move to a new one"):
        move(config, target)
    require_open(config.data_dir)


def test_a_folder_in_which_something_is_under_way_is_refused(config: Config, target: str) -> None:
    add_messages(config, EVENTS.name, 1)  # a late report of an ended attempt
    move(config, target, dry_run=True)
    add_messages(config, COMMANDS.name, 2)
    with pytest.raises(ConfigInvalid, match="2 commands that were accepted are not stored yet: start dagway up, pause"):
        move(config, target)

    (config.data_dir / "transport.sqlite3").unlink()
    engine = open_engine(f"sqlite:///{config.data_dir}/dagway.db")
    with transaction(engine) as connection:
        connection.execute(t.dag_runs.update().values(status="running"))
    engine.dispose()
    with pytest.raises(ConfigInvalid, match="1 runs are running"):
        move(config, target)


def test_a_folder_that_dagway_up_uses_is_refused(config: Config, target: str) -> None:
    journal = Journal(config.data_dir / "transport.sqlite3")
    try:
        with pytest.raises(BrokerUnavailable, match="another dagway uses this folder"):
            move(config, target)
    finally:
        journal.close()


def test_a_folder_without_a_database_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(ConfigInvalid, match="there is no database of dagway up in"):
        move(load_config({"data_dir": str(tmp_path)}, {}, terminal=False), target)
