"""SELECTs that a connection prepares once: the same rows and errors as from SQLAlchemy."""

import gc
import tracemalloc

import pytest
from sqlalchemy import Engine, bindparam, event, select, text
from sqlalchemy.exc import DBAPIError

from shared.errors import StoreUnavailable
from shared.store import tables as t
from shared.store.engine import has_own_session, one_statement, open_engine
from shared.store.reads.prepared import PreparedSelect
from shared.store.reads.reader import Reads
from shared.store.reads.run_rows import select_one_run
from shared.workspaces import stored_name
from tests.conformance.store_rows import add_node, add_run
from tests.harness.databases import gateways_url

_AGAIN = 8
"""Postgres plans a prepared statement for its values five times. Then it may take one plan for all values."""
_MANY = 80
"""More workspaces than one connection has statements prepared for."""
_SELECT = select_one_run().where(t.dag_runs.c.dag_name == bindparam("dag_name")).limit(3)


def test_the_rows_are_those_of_sqlalchemy(engine: Engine, reader: Engine) -> None:
    for dag_name in ("etl", "other"):
        run_key = add_run(engine, dag_name, "r1", params=[["A", "é"]], error="e")
        add_node(engine, run_key, 0, "first", outputs={"OUT": "x"})
        add_node(engine, run_key, 1, "second")
    prepared = PreparedSelect(_SELECT)

    for _ in range(_AGAIN):
        for dag_name, count in (("etl", 2), ("other", 2), ("none", 0), ("o'; SELECT 1 --", 0)):
            with one_statement(reader) as connection:
                expected = [tuple(row) for row in connection.execute(_SELECT, {"dag_name": dag_name})]
            assert [tuple(row) for row in prepared.rows(reader, dag_name=dag_name)] == expected
            assert len(expected) == count


def test_an_error_is_that_of_sqlalchemy(engine: Engine, reader: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE progress"))

    with pytest.raises(DBAPIError, match="progress"):
        PreparedSelect(_SELECT).rows(reader, dag_name="etl")


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_sqlite_reads_a_run_without_a_transaction(engine: Engine, reader: Engine) -> None:
    add_run(engine, "etl", "r1")
    begun: list[object] = []
    event.listen(reader, "begin", begun.append)

    assert Reads(reader).run("etl", "r1") is not None

    assert not begun


@pytest.mark.parametrize("store_url", ["postgres", "pgbouncer"], indirect=True)
def test_a_connection_prepares_a_statement_once_and_none_behind_a_pooler(engine: Engine, reader: Engine) -> None:
    add_run(engine, "etl", "r1")
    reads = Reads(reader).within("")

    for _ in range(_AGAIN):
        assert reads.run("etl", "r1") is not None

    with one_statement(reader) as connection:
        count = connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
        assert count == (1 if has_own_session(connection) else 0)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_workspaces_that_somebody_made_up_do_not_fill_the_memory(reader: Engine) -> None:
    reads = Reads(reader)

    def held_after(numbers: range) -> int:
        for number in numbers:
            reads.within(f"made-up-{number}").refused_files()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = held_after(range(200))
    after = held_after(range(200, 600))
    tracemalloc.stop()

    assert after - before < 500_000


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_the_policies_of_each_workspace_hold_on_the_same_connection(engine: Engine, store_url: str) -> None:
    workspaces = ["", *(f"team{number}" for number in range(_MANY))]
    for each in workspaces:
        add_run(engine, stored_name(each, "etl"), "r1")
    gateway = open_engine(gateways_url(store_url), pool_size=1, read_only=True)
    reads = Reads(gateway)

    # A few that keep their statements until Postgres takes one plan for all values, then more than can keep them.
    for few in (*[workspaces[:4]] * _AGAIN, workspaces):
        for one, other in zip(few, reversed(few), strict=True):
            assert reads.within(one).run(stored_name(one, "etl"), "r1") is not None
            assert one == other or reads.within(one).run(stored_name(other, "etl"), "r1") is None

    with one_statement(gateway) as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() <= 60
    gateway.dispose()


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_plan_that_a_migration_has_made_invalid_is_made_anew(engine: Engine) -> None:
    add_run(engine, "etl", "r1", started_by="ann")
    prepared = PreparedSelect(select(t.dag_runs.c.priority).where(t.dag_runs.c.dag_name == bindparam("dag_name")))

    def asked() -> list[tuple[object, ...]]:
        return [tuple(row) for row in prepared.rows(engine, dag_name="etl")]

    before = asked()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE dag_runs ALTER COLUMN priority TYPE bigint"))

    assert [asked() for _ in range(3)] == [before] * 3


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_lost_connection_is_an_unavailable_store_once(engine: Engine, reader: Engine) -> None:
    add_run(engine, "etl", "r1")
    reads = Reads(reader)
    assert reads.run("etl", "r1") is not None
    with engine.connect() as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
        connection.execute(text(f"{ended}current_database()"))

    with pytest.raises(StoreUnavailable):
        reads.run("etl", "r1")

    assert reads.run("etl", "r1") is not None
