"""Spec texts that nothing refers to are deleted, and never one that somebody is about to refer to."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, delete, select, text, update

from services.scheduler.loops import housekeeping
from services.scheduler.loops.housekeeping import Housekeeping
from shared.store import tables as t
from shared.store.engine import open_engine, transaction
from shared.store.writes.transaction import Store
from tests.conformance.store_rows import NOW, add, add_dag, add_run, hash_of
from tests.harness.eventually import eventually

LATER = NOW + timedelta(days=30)


def prune(engine: Engine, now: datetime) -> int:
    return Housekeeping(Store(engine), lambda: now).forget_specs()


def add_text(engine: Engine, spec: str, *, unused_since: datetime | None = None) -> str:
    row = {"hash": hash_of(spec), "yaml": spec, "created_at": NOW, "unused_since": unused_since}
    add(engine, t.specs, row)
    return hash_of(spec)


def texts(engine: Engine) -> dict[str, datetime | None]:
    with transaction(engine) as connection:
        rows = connection.execute(select(t.specs.c.yaml, t.specs.c.unused_since))
        return {row.yaml: row.unused_since for row in rows}


def test_a_text_is_deleted_some_days_after_the_last_that_referred_to_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_SPECS_AT_ONCE", 2)
    monkeypatch.setattr(housekeeping, "_AT_ONCE", 2)
    add_run(engine, "d", "r", spec="of a run")
    add_dag(engine, "e", spec="of a dag")
    version = {"file_name": "f", "version": 1, "at": NOW, "by": ""}
    add(engine, t.dag_versions, version | {"spec_hash": add_text(engine, "of a version")})
    add(engine, t.callable_files, {"path": "g/h", "spec_hash": add_text(engine, "of a file")})
    for spec in ("none 1", "none 2", "none 3"):
        add_text(engine, spec)
    used = {"of a run": None, "of a dag": None, "of a version": None, "of a file": None}

    assert prune(engine, NOW) == 0
    assert texts(engine) == used | {"none 1": NOW, "none 2": NOW, "none 3": NOW}
    add_run(engine, "d", "r2", spec="none 2")
    assert prune(engine, NOW + timedelta(days=8)) == 0
    assert texts(engine) == used | {"none 1": NOW, "none 2": None, "none 3": NOW}
    assert prune(engine, LATER) == 2
    assert texts(engine) == used | {"none 2": None}

    with transaction(engine) as connection:
        connection.execute(delete(t.dag_runs).where(t.dag_runs.c.dag_run_id == "r"))
    assert prune(engine, LATER) == 0
    assert texts(engine)["of a run"] == LATER


def test_who_stores_a_text_again_keeps_it(engine: Engine) -> None:
    again = add_text(engine, "again", unused_since=NOW)
    with Store(engine).begin() as tx:
        tx.dags.add_specs({again: "again", hash_of("new"): "new"}, LATER)

    assert texts(engine) == {"again": None, "new": None}
    assert prune(engine, LATER) == 0


@pytest.fixture
def pair(migrated_database_url: str) -> Iterator[tuple[Engine, Engine]]:
    """Two engines on one Postgres, where two transactions can write at the same time; on SQLite they cannot."""
    engines = open_engine(migrated_database_url), open_engine(migrated_database_url)
    yield engines
    for engine in engines:
        engine.dispose()


def test_a_text_that_is_being_stored_again_is_not_deleted(pair: tuple[Engine, Engine]) -> None:
    writer, deleter = pair
    again = add_text(writer, "again", unused_since=NOW)
    with Store(writer).begin() as tx:
        tx.dags.add_specs({again: "again"}, LATER)
        with Store(deleter).begin() as other:
            assert other.specs.delete_unused(LATER, 10) == 0

    assert texts(writer) == {"again": None}


def test_a_text_that_is_being_deleted_is_stored_again(pair: tuple[Engine, Engine]) -> None:
    deleter, writer = pair
    again = add_text(writer, "again", unused_since=NOW)

    def store() -> None:
        with Store(writer).begin() as tx:
            tx.dags.add_specs({again: "again"}, LATER)

    storing = threading.Thread(target=store)
    with Store(deleter).begin() as tx:
        assert tx.specs.delete_unused(LATER, 10) == 1
        storing.start()

        def waits() -> bool:
            return bool(tx.connection.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted")).first())

        eventually(waits)
    storing.join()

    assert texts(writer) == {"again": None}


def test_a_text_from_which_a_run_is_being_made_is_not_deleted(pair: tuple[Engine, Engine]) -> None:
    writer, deleter = pair
    add_text(writer, "old", unused_since=NOW)
    add_run(writer, "d", "r", spec="other")
    with transaction(writer) as connection:
        # As a scheduler of the previous release does it, which leaves the mark.
        connection.execute(update(t.dag_runs).values(spec_hash=hash_of("old")))
        assert prune(deleter, LATER) == 0

    assert prune(deleter, LATER) == 0
    assert texts(writer) == {"old": None, "other": LATER}
