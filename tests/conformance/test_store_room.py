"""How large the database is, and what is counted when its disk is full."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import Engine, text

from shared.admin_server import admin_registry
from shared.errors import StoreUnavailable
from shared.store.engine import open_engine, transaction
from shared.store.reads.backlog import BacklogReads
from shared.store.room_metrics import DatabaseSizeCollector


def _refused() -> float:
    return admin_registry([]).get_sample_value("dagway_database_disk_full_total") or 0.0


def test_the_size_of_the_database_grows_with_its_rows(engine: Engine, reader: Engine) -> None:
    before = BacklogReads(reader).database_bytes()
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE filler (content TEXT)"))
        connection.execute(text("INSERT INTO filler VALUES (:content)"), [{"content": "x" * 2_000}] * 1_000)

    assert 2_000_000 <= BacklogReads(reader).database_bytes() - before < 4_000_000


def test_the_room_is_reported_if_it_is_known_and_the_size_is_asked_once_for_many_scrapes() -> None:
    asked = []

    def ask() -> int:
        asked.append(1)
        return 5

    for room_mib, room_bytes in ((0, None), (3, 3 << 20)):
        registry = CollectorRegistry()
        registry.register(DatabaseSizeCollector(ask, room_mib))
        generate_latest(registry)
        assert registry.get_sample_value("dagway_database_size_bytes") == 5
        assert registry.get_sample_value("dagway_database_room_bytes") == room_bytes
    assert len(asked) == 2


def test_without_the_database_there_is_no_size() -> None:
    def ask() -> int:
        raise StoreUnavailable("gone")

    registry = CollectorRegistry()
    registry.register(DatabaseSizeCollector(ask, 3))

    assert b"dagway_database_size_bytes" not in generate_latest(registry)


def test_a_write_for_which_the_disk_has_no_room_is_counted(tmp_path: Path) -> None:
    """On SQLite, which can be given a limit; ``make alerts`` fills the disk of a Postgres."""
    engine = open_engine(f"sqlite:///{tmp_path}/full.db", pool_size=1)
    before = _refused()
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE filler (content TEXT)"))
        connection.execute(text("PRAGMA max_page_count=3"))

    with pytest.raises(StoreUnavailable, match="full"), transaction(engine) as connection:
        connection.execute(text("INSERT INTO filler VALUES (:content)"), {"content": "x" * 50_000})

    assert _refused() == before + 1
    engine.dispose()
