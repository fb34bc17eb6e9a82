"""Totals of the history stay correct by counting later commits only, while other transactions are open."""

from datetime import datetime

import pytest
from sqlalchemy import Engine

from shared.status import RunStatus
from shared.store.reads.reader import Reads, StatusChange
from shared.store.writes.bulk import write
from shared.store.writes.transaction import Store, Transaction
from tests.conformance.store_rows import NOW, add_run, after


def change(tx: Transaction, run_key: str, was: str, became: str, **more: int) -> None:
    row = {"run_key": run_key, "seq": 1, "at": NOW, "was": was, "became": became, "why": "", "by": ""} | more
    write(tx.connection, tx.runs.numbered([row]))


def moments(found: tuple[StatusChange, ...]) -> list[tuple[str, str, str, datetime | None]]:
    return [(each.dag_name, each.was, each.became, each.finished_at) for each in found]


def test_the_history_is_counted_by_dag_and_status_and_time(engine: Engine, reads: Reads) -> None:
    add_run(engine, "etl", "1", status="running", queued_at=NOW, started_at=after(3))
    add_run(engine, "etl", "2", status="queued", queued_at=NOW)
    add_run(engine, "etl", "3", status="failed", started_at=NOW, finished_at=after(7))
    add_run(engine, "inline", "4", started_at=NOW, finished_at=after(1))
    add_run(engine, "etl", "sub", root_key="etl/1", parent_key="etl/1", started_at=NOW, finished_at=after(1))
    # Neither has it ended, nor did anybody queue what goes on.
    add_run(engine, "ship", "5", status="waiting", started_at=NOW, finished_at=after(2))
    add_run(engine, "ship", "6", status="running", run_attempt=2, queued_at=NOW, started_at=after(3))

    found = reads.history([1, 5, 60], [1, 10])

    assert found.runs == {
        ("etl", RunStatus.RUNNING): 1,
        ("etl", RunStatus.QUEUED): 1,
        ("etl", RunStatus.FAILED): 1,
        ("inline", RunStatus.SUCCEEDED): 1,
        ("ship", RunStatus.WAITING): 1,
        ("ship", RunStatus.RUNNING): 1,
    }
    # Within a millisecond: SQLite counts in days.
    assert {name: counts for name, (counts, _) in found.durations.items()} == {
        "etl": (0, 0, 1, 1),
        "inline": (1, 1, 1, 1),
    }
    assert found.durations["etl"][1] == pytest.approx(7, abs=1e-3)
    assert {name: counts for name, (counts, _) in found.waits.items()} == {"etl": (0, 1, 1)}


def test_each_change_of_a_root_run_is_returned_once(engine: Engine, reads: Reads) -> None:
    root = add_run(engine, "etl", "1", status="failed", finished_at=after(5))
    sub = add_run(engine, "sub", "2", root_key=root, parent_key=root)
    store = Store(engine)
    with store.begin() as tx:
        change(tx, root, "not_started", "running")
    mark = reads.history([], []).mark
    assert reads.changes_since(mark)[1] == ()

    with store.begin() as tx:
        change(tx, root, "running", "failed", seq=2)
    with store.begin() as tx:
        change(tx, root, "running", "failed", seq=3, node=0)
    with store.begin() as tx:
        change(tx, sub, "running", "failed")
    later, found = reads.changes_since(mark)

    assert moments(found) == [("etl", "running", "failed", after(5))]
    assert reads.changes_since(later)[1] == ()
    assert reads.changes_since(mark)[1] == found


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_transaction_open_at_a_mark_is_returned_after_it(engine: Engine, reads: Reads) -> None:
    """Not on SQLite, which allows one writer at a time."""
    slow, quick = add_run(engine, "slow", "1"), add_run(engine, "quick", "1")
    store = Store(engine)
    with store.begin() as tx:
        change(tx, slow, "running", "succeeded")
        with store.begin() as other:
            change(other, quick, "running", "failed")
        # Committed, though its transaction's number is the higher one.
        mark = reads.history([], []).mark
        assert reads.changes_since(mark)[1] == ()
    later, found = reads.changes_since(mark)

    assert [each.dag_name for each in found] == ["slow"]
    assert reads.changes_since(later)[1] == ()
