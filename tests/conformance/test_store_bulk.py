"""Bulk writes, on Postgres and SQLite."""

from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, select

from services.scheduler.core.model import Node
from services.scheduler.core.plan import STEP
from services.scheduler.deciding.rows import FRESH_STEP, node_row
from shared.errors import AlreadyExists, InvariantBroken
from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.writes.bulk import Alike, Changes, Removed, Rows, write
from shared.store.writes.transaction import Store
from tests.conformance.store_rows import NOW, add_run


def test_alike_rows_are_stored_as_rows_are(engine: Engine) -> None:
    add_run(engine, "etl", "r1")
    names = ["plain", 'it\'s "quoted" 100% {:x} \\', "größe 漢字 🚀"]
    with Store(engine).begin() as tx:
        fresh = [node_row("etl/r1", Node(idx, STEP, name)) for idx, name in enumerate(names)]
        alike = Alike(t.nodes, ("run_key", "idx", "name"), {"etl/r1": [None, None, None, *names]}, FRESH_STEP)
        tx.write(Rows(t.nodes, fresh), alike)
        stored = tx.runs.nodes(["etl/r1"])

    assert [(row["idx"], row["name"]) for row in stored] == list(enumerate(names * 2))
    assert [row | {"idx": 0} for row in stored[:3]] == [row | {"idx": 0} for row in stored[3:]]
    with pytest.raises(AlreadyExists), Store(engine).begin() as tx:
        tx.write(alike)


def test_alike_rows_of_several_runs_keep_their_places(engine: Engine) -> None:
    for run_id in ("r1", "r2"):
        add_run(engine, "etl", run_id)
    names = {"etl/r1": ["a", None, "c"], "etl/r2": [None, "b", None]}
    with Store(engine).begin() as tx:
        tx.write(Alike(t.nodes, ("run_key", "idx", "name"), names, FRESH_STEP))
        stored = tx.runs.nodes(list(names))

    found = [(row["run_key"], row["idx"], row["kind"], row["name"]) for row in stored]
    assert found == [("etl/r1", 0, STEP, "a"), ("etl/r1", 2, STEP, "c"), ("etl/r2", 1, STEP, "b")]


def test_many_rows_are_stored_as_one_by_one(engine: Engine) -> None:
    """Postgres gets the columns once in which all rows are equal; values that only Python calls equal stay apart."""
    for run_id in ("r1", "r2"):
        add_run(engine, "etl", run_id)
    nodes = [
        node_row("", Node(idx, STEP, "it's 100% \\", error="ö", exit_code=idx % 2 or None, started_at=NOW))
        | {"approval": {"granted": True, "at": [1, True][idx % 2]}}
        for idx in range(20)
    ]
    with Store(engine).begin() as tx:
        tx.write(Rows(t.nodes, [row | {"run_key": "etl/r1"} for row in nodes]))
        tx.write(*(Rows(t.nodes, [row | {"run_key": "etl/r2"}]) for row in nodes))
        stored = [dict(row) for row in tx.runs.nodes(["etl/r1", "etl/r2"])]

    together, alone = stored[:20], stored[20:]
    assert [repr(row | {"run_key": ""}) for row in together] == [repr(row | {"run_key": ""}) for row in alone]
    with pytest.raises(AlreadyExists), Store(engine).begin() as tx:
        tx.write(Rows(t.nodes, [row | {"run_key": "etl/r1"} for row in nodes]))


def test_of_many_rows_those_that_exist_are_left_or_changed(engine: Engine) -> None:
    rows = [{"id": str(idx), "route": "r", "body": b"old", "created_at": NOW} for idx in range(20)]
    with engine.begin() as connection:
        write(connection, Rows(t.outbox, rows[:5]))
        new = [row | {"body": b"new"} for row in rows]
        assert write(connection, Rows(t.outbox, new[:10], "leave")) == 5
        assert write(connection, Rows(t.outbox, new[2:], ("body",))) == 18
        stored = {row.id: row.body for row in connection.execute(select(t.outbox.c.id, t.outbox.c.body))}

    assert stored == {str(idx): b"old" if idx < 2 else b"new" for idx in range(20)}


_TRICKY = [
    b"",
    b"it's 100% \\ \\\\ \\x41 \\101 %s %(body)s :body ?; --\r\n\t\x01\x7f",
    b"\\",
    b"'",
    b"a\0b",
    bytes(range(256)) * 3,
    "größe 漢字 🚀".encode(),
    b'{"a":"b\\n\\u0000"}' * 1000,
]


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_bytes_come_back_as_they_were_stored(engine: Engine, conforming: str) -> None:
    rows = [{"id": str(idx), "route": "r", "body": body, "created_at": NOW} for idx, body in enumerate(_TRICKY)]
    alone = [row | {"id": f"alone-{row['id']}"} for row in rows]
    with engine.begin() as connection:
        if is_postgres(engine):
            connection.exec_driver_sql(f"SET LOCAL standard_conforming_strings = {conforming}")
        write(connection, Rows(t.outbox, rows))
        for row in alone:
            connection.execute(insert(t.outbox), row)
        stored = {row.id: row.body for row in connection.execute(select(t.outbox.c.id, t.outbox.c.body))}

    assert stored == {row["id"]: row["body"] for row in (*rows, *alone)}


def test_removed_deletes_the_rows_with_these_values_only(engine: Engine) -> None:
    runs = [add_run(engine, "etl", run) for run in ("r1", "r2", "r3")]
    due = [{"run_key": run, "node": node, "kind": "retry", "due_at": NOW} for run in runs for node in (0, 1)]
    with Store(engine).begin() as tx:
        tx.timers.put(due)
        assert tx.write(Removed(t.timers.c.run_key, ["etl/r1", "etl/r3", "etl/none"])) == 4
        left = tx.timers.due_of(["etl/r1", "etl/r2", "etl/r3"], NOW)

    assert [(row["run_key"], row["node"]) for row in left] == [("etl/r2", 0), ("etl/r2", 1)]


def test_changes_are_counted_and_written_without_the_compiler(engine: Engine) -> None:
    keys = [add_run(engine, "etl", run) for run in ("r1", "r2", "r3")]
    compiled: list[str] = []

    def note(_connection: object, _cursor: object, text: str, _values: object, context: Any, _many: bool) -> None:
        compiled.extend([text] if context.compiled is not None else [])

    # The columns that find a row may come first, and have other names than their columns.
    rows = [{"key": key, "error": f"of {key}", "started_at": NOW} for key in (*keys[:2], "none")]
    with Store(engine).begin() as tx:
        event.listen(engine, "before_cursor_execute", note)
        try:
            found = tx.write(Changes(t.dag_runs, rows, {"key": "run_key"}))
        finally:
            event.remove(engine, "before_cursor_execute", note)

    assert (found, compiled) == (2, [])
    with Store(engine).begin() as tx:
        stored = [(row["run_key"], row["error"], row["started_at"]) for row in tx.runs.lock(keys)]
    assert stored == [(keys[0], f"of {keys[0]}", NOW), (keys[1], f"of {keys[1]}", NOW), (keys[2], "", None)]


def test_a_row_that_exists_is_told_from_one_that_breaks_another_rule(engine: Engine) -> None:
    queue = {"name": "nightly", "kind": "dag-based", "max_concurrency": None}
    store = Store(engine)
    with store.begin() as tx:
        tx.write(Rows(t.queues, [queue]))

    with pytest.raises(AlreadyExists), store.begin() as tx:
        tx.write(Rows(t.queues, [queue]))
    # The first of two rows must not stay if the second is refused.
    with pytest.raises(InvariantBroken), store.begin() as tx:
        tx.write(Rows(t.queues, [{**queue, "name": "hourly"}, {**queue, "name": "weekly", "kind": None}]))
    with engine.connect() as connection:
        assert connection.execute(select(t.queues.c.name)).scalars().all() == ["nightly"]
