"""Totals of the history stay correct by counting later commits only, while other transactions are open."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from shared.clock import utc_now
from shared.run_totals import Distribution, StatusChange
from shared.status import RunStatus
from shared.store import queries, writes
from shared.store import tables as t
from shared.store.reads.reader import Reads
from shared.store.writes.bulk import write
from shared.store.writes.transaction import Store, Transaction
from tests.conformance.store_rows import NOW, add_run, after


def change(tx: Transaction, run_key: str, was: str, became: str, **more: Any) -> None:
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

    found = reads.history().by_dag

    assert {name: totals.runs for name, totals in found.items()} == {
        "etl": {RunStatus.FAILED: 1},
        "inline": {RunStatus.SUCCEEDED: 1},
        "ship": {RunStatus.WAITING: 1},
    }
    # Bounds of 1, 5, 15 s and more.
    assert found["etl"].durations.counts == [0, 0, *[1] * 9]
    assert found["inline"].durations.counts == [1] * 11
    assert found["ship"].durations.counts == [0] * 11
    # Within a millisecond: SQLite counts in days.
    assert found["etl"].durations.total_s == pytest.approx(7, abs=1e-3)
    assert found["etl"].waits.counts == [0, *[1] * 8]
    assert found["etl"].waits.total_s == pytest.approx(3, abs=1e-3)
    assert found["ship"].waits.counts == [0] * 9


def test_no_total_goes_down_when_the_clock_was_set_back_during_a_run(engine: Engine, reads: Reads) -> None:
    add_run(engine, "etl", "1", status="failed", queued_at=after(3600), started_at=after(3600), finished_at=NOW)
    add_run(engine, "etl", "2", status="failed", queued_at=after(3600), started_at=NOW, finished_at=after(7))

    found = reads.history().by_dag["etl"]

    assert (found.durations.counts[-1], found.waits.counts[-1]) == (2, 2)
    assert found.durations.total_s == pytest.approx(7, abs=1e-3)
    assert found.waits.total_s == 0
    counted = Distribution.empty((1.0,))
    counted.add(after(3600), NOW)
    assert (counted.counts, counted.total_s) == ([1, 1], 0)


def test_each_change_of_a_root_run_is_returned_once(engine: Engine, reads: Reads) -> None:
    root = add_run(engine, "etl", "1", status="failed", finished_at=after(5))
    sub = add_run(engine, "sub", "2", root_key=root, parent_key=root)
    store = Store(engine)
    with store.begin() as tx:
        change(tx, root, "not_started", "running")
    mark = reads.history().mark
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
        mark = reads.history().mark
        assert reads.changes_since(mark)[1] == ()
    later, found = reads.changes_since(mark)

    assert [each.dag_name for each in found] == ["slow"]
    assert reads.changes_since(later)[1] == ()


def keep(store: Store) -> int | None:
    with store.begin() as tx:
        return tx.run_totals.keep()


def test_kept_totals_are_those_of_the_whole_history_and_outlive_its_runs(engine: Engine, reads: Reads) -> None:
    store = Store(engine)
    add_run(engine, "etl", "1", status="failed", started_at=NOW, finished_at=after(7))
    add_run(engine, "ship", "2", status="waiting", started_at=NOW, finished_at=after(2))
    counted = reads.history().by_dag
    assert keep(store) == 2
    assert reads.history().by_dag == counted

    third = add_run(engine, "etl", "3", queued_at=NOW, started_at=after(3), finished_at=after(4))
    with store.begin() as tx:
        change(tx, third, "queued", "running")
    with store.begin() as tx:
        change(tx, third, "running", "succeeded", seq=2)
    with store.begin() as tx:
        change(tx, "ship/2", "waiting", "queued")
    # Kept by nobody yet: a reader finds them after the mark.
    found = reads.history()
    assert (found.by_dag, len(reads.changes_since(found.mark)[1])) == (counted, 3)
    assert (keep(store), keep(store)) == (3, 0)
    with store.begin() as tx:
        tx.history.remove(["etl/1", third])

    found = reads.history()
    assert found.by_dag["etl"].runs == {RunStatus.FAILED: 1, RunStatus.SUCCEEDED: 1}
    assert found.by_dag["etl"].durations.counts == [1, 1, *[2] * 9]
    assert found.by_dag["etl"].waits.counts == [0, *[1] * 8]
    assert found.by_dag["ship"].runs == {RunStatus.WAITING: 0}
    assert reads.changes_since(found.mark)[1] == ()


def test_a_run_that_is_removed_soon_after_its_end_is_counted_once(engine: Engine, reads: Reads) -> None:
    store = Store(engine)
    keep(store)
    run = add_run(engine, "etl", "1", status="failed", started_at=NOW, finished_at=after(7))
    sub_run = add_run(engine, "sub", "2", root_key=run, parent_key=run)
    mark = reads.history().mark
    with store.begin() as tx:
        change(tx, run, "running", "failed", at=utc_now())
        change(tx, sub_run, "running", "failed", at=utc_now())
    with store.begin() as tx:
        tx.history.remove([run])

    # By a gateway that counts on, and by a scheduler.
    assert moments(reads.changes_since(mark)[1]) == [("etl", "running", "failed", after(7))]
    assert (keep(store), keep(store)) == (1, 0)
    found = reads.history().by_dag
    assert {name: totals.runs for name, totals in found.items()} == {"etl": {RunStatus.FAILED: 1}}
    assert found["etl"].durations.counts == [0, 0, *[1] * 9]


def test_the_changes_of_a_removed_run_are_forgotten_after_an_hour(engine: Engine) -> None:
    store = Store(engine)
    old, late = utc_now() - timedelta(minutes=61), utc_now() - timedelta(minutes=30)
    for number, at in enumerate((old, late)):
        run = add_run(engine, "etl", f"{number}")
        with store.begin() as tx:
            change(tx, run, "running", "succeeded", at=at)
        with store.begin() as tx:
            tx.history.remove([run])

    def left() -> list[str]:
        with engine.connect() as connection:
            return list(connection.execute(select(t.removed_changes.c.run_key)).scalars())

    assert left() == ["etl/1"]
    keep(store)
    assert left() == ["etl/1"]
    with engine.begin() as connection:
        connection.execute(t.removed_changes.update().values(at=old))
    keep(store)
    assert left() == []


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_scheduler_whose_clock_is_ahead_forgets_no_change_of_a_removed_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(engine)
    keep(store)
    run = add_run(engine, "etl", "1", status="failed")
    with store.begin() as tx:
        change(tx, run, "running", "failed", at=utc_now())
    for module in (queries.run_totals, writes.runs, writes.run_totals):
        monkeypatch.setattr(module, "utc_now", lambda: utc_now() + timedelta(days=1), raising=False)
    with store.begin() as tx:
        tx.history.remove([run])

    assert keep(store) == 1
    with engine.connect() as connection:
        assert list(connection.execute(select(t.removed_changes.c.run_key)).scalars()) == [run]


def test_the_changes_of_a_removed_run_are_counted_before_they_are_forgotten(engine: Engine, reads: Reads) -> None:
    """As when no scheduler has counted for an hour."""
    store = Store(engine)
    keep(store)
    run = add_run(engine, "etl", "1", status="failed")
    with store.begin() as tx:
        change(tx, run, "running", "failed", at=utc_now())
    with store.begin() as tx:
        tx.history.remove([run])
    with engine.begin() as connection:
        connection.execute(t.removed_changes.update().values(at=utc_now() - timedelta(minutes=61)))

    assert (keep(store), keep(store)) == (1, 0)
    assert reads.history().by_dag["etl"].runs == {RunStatus.FAILED: 1}
    with engine.connect() as connection:
        assert connection.execute(select(t.removed_changes)).all() == []


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_one_scheduler_at_a_time_keeps_totals(engine: Engine) -> None:
    """Not on SQLite, which allows one writer at a time."""
    store = Store(engine)
    keep(store)
    with store.begin() as tx:
        assert tx.run_totals.keep() == 0
        assert keep(store) is None


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_totals_of_another_servers_transactions_are_counted_anew(engine: Engine, reads: Reads) -> None:
    """As after a restore from a dump: the new server's transaction numbers are lower than those in the rows."""
    store = Store(engine)
    run = add_run(engine, "etl", "1", status="failed")
    with store.begin() as tx:
        change(tx, run, "running", "failed")
    keep(store)
    far = 1 << 40
    with engine.begin() as connection:
        connection.execute(t.run_totals_mark.update().values(mark=f"{far}:{far}:"))
        connection.execute(t.run_totals.update().values(runs={"failed": 9}))
        connection.execute(t.transitions.update().values(txid=far - 1))

    for _ in range(2):
        found = reads.history()
        assert (found.by_dag["etl"].runs, reads.changes_since(found.mark)[1]) == ({RunStatus.FAILED: 1}, ())
        keep(store)
