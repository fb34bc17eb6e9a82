"""The folder of ``dagway up`` moved to another database: every row arrives, and every guarantee holds there."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from services.importing.dagu import import_dagu
from services.importing.moving import move
from services.verify import check_database
from shared.clock import utc_now
from shared.errors import ConfigInvalid
from shared.settings.config import load_config
from shared.store import tables as t
from shared.store.engine import open_engine, transaction
from tests.harness.dagu_home import HomeOfDagu
from tests.harness.databases import migrated_sqlite

TWO = "schedule: '*/5 * * * *'\nsteps:\n  - name: one\n    command: echo 1\n  - name: two\n    command: echo 2\n"
STAY = ("services", "counters", "removed_changes", "run_totals", "run_totals_mark")
RENUMBERED = {"txid", "pos"}


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return migrated_sqlite(tmp_path / "target.db")
    url: str = request.getfixturevalue("_postgres").create_migrated_database()
    return url


def content(url: str) -> dict[str, list[Any]]:
    """Return the rows of every table that moves, sorted, and the transitions in the order of the stream."""
    engine = open_engine(url, read_only=True)
    found: dict[str, list[Any]] = {}
    with transaction(engine) as connection:
        for table in t.metadata.sorted_tables:
            if table.name in STAY:
                continue
            rows = connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            found[table.name] = [{k: v for k, v in row.items() if k not in RENUMBERED} for row in rows]
        stream = select(t.transitions.c.run_key, t.transitions.c.seq).order_by("txid", "pos")
        found["stream"] = [tuple(row) for row in connection.execute(stream)]
    engine.dispose()
    return found


def test_every_row_arrives_and_the_guarantees_hold(target: str, tmp_path: Path) -> None:
    config = load_config({"data_dir": str(tmp_path / "data")}, {}, terminal=False)
    home = HomeOfDagu(tmp_path / "home")
    home.workflow("w", TWO, suspended=True)
    home.run(
        "w", "ended", TWO, 4, [{"name": "one", "status": 4, "log": "é\n"}, {"name": "two", "status": 4, "log": ""}]
    )
    home.run("w", "waits", TWO, 7, [{"name": "one", "status": 7}, {"name": "two", "status": 0}])
    home.user("u1", "ann", "correct horse battery", role="admin")
    home.api_key("k1", "ci", "dagu_3sEabCAFmiaprqvDh72CC")
    home.webhook("h1", "w", "dagu_wh_SPa2n2NwupXQ7LTynY5osD")
    assert import_dagu(config, home.root, "test").refused == 0
    source = f"sqlite:///{config.data_dir}/dagway.db"
    engine = open_engine(source)
    with transaction(engine) as connection:
        now = utc_now()
        slot = {"file_name": "w", "kind": "start", "slot_at": now, "expression": "*/5 * * * *", "outcome": "skipped"}
        connection.execute(insert(t.cron_slots).values(**slot, reason="suspended", dag_name="w", decided_at=now))
        until = {"decided_until": now, "next_fire_at": now + timedelta(minutes=5)}
        connection.execute(t.schedules.delete())
        connection.execute(insert(t.schedules).values(file_name="w", dag_version=1, zone="UTC", **until))
    engine.dispose()
    before = content(source)

    moved = move(config, target)

    after = content(target)
    assert after == before
    assert {name: len(rows) for name, rows in before.items() if name != "stream"} == dict(moved.rows)
    assert min(len(before[name]) for name in ("dag_runs", "log_chunks", "cron_slots", "schedules", "users")) > 0
    problems = check_database(replace(config, database_url=target), utc_now())
    assert {each.check.name: each.shown for each in problems if each.count} == {}
    assert move(config, target).before


def test_a_target_of_another_kind_is_refused_by_the_name_of_the_option(tmp_path: Path) -> None:
    config = load_config({"data_dir": str(tmp_path)}, {}, terminal=False)
    (tmp_path / "dagway.db").touch()

    with pytest.raises(ConfigInvalid, match=r"^--to: 'mysql' is not supported; use postgresql or sqlite$"):
        move(config, "mysql://u:secret@h/d")
