"""The statements that spare an idle scheduler many others: they must miss nothing that those would find."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from shared.store import tables as t
from shared.store.writes.leases import Overview
from shared.store.writes.pending_work import PendingWork
from shared.store.writes.transaction import Store
from tests.conformance.store_rows import NOW, add, add_node, add_run, after

LEASE = timedelta(seconds=10)
NOTHING = PendingWork(None, outbox=False, parents=False, audit=False, pools=False, queues=False)


def waiting(engine: Engine, *, before: datetime = NOW) -> PendingWork:
    with Store(engine).begin() as tx:
        return tx.pending_work.find(before)


def overview(engine: Engine) -> Overview:
    with Store(engine).begin() as tx:
        return tx.leases.overview(NOW, LEASE)


def a_timer(engine: Engine) -> None:
    add(engine, t.timers, {"run_key": add_run(engine, "a", "r"), "node": -1, "kind": "retry", "due_at": after(5)})


def a_sub_run(engine: Engine) -> None:
    add_node(engine, add_run(engine, "a", "r", status="running"), 0, "s", status="running", call_token="c")


def an_entry(engine: Engine) -> None:
    with Store(engine).begin() as tx:
        tx.connection.execute(t.audit_unlinked.insert().values(entry_id="e"))


def a_step_that_waits_for_a_pool(engine: Engine) -> None:
    key = add_run(engine, "a", "r", status="running")
    add_node(engine, key, 0, "s")
    row = {"kind": "pool", "name": "p", "run_key": key, "node": 0, "limit": 1, "interval_s": 0}
    add(engine, t.pool_waits, row | {"entry_order": NOW, "asked_at": NOW})


def a_message(engine: Engine) -> None:
    add(engine, t.outbox, {"id": "m", "route": [], "body": b"", "created_at": after(-1)})


def a_worker(engine: Engine, worker_id: str, **times: datetime) -> None:
    row = {
        "worker_id": worker_id, "incarnation": "i", "host": "h", "version": "0", "labels": {}, "executors": [],
        "slots": 1, "busy": 0, "state": "live", "started_at": NOW,
    }  # fmt: skip
    add(engine, t.workers, row | times)


def test_where_nothing_waits_nothing_is_found(engine: Engine) -> None:
    add_node(engine, add_run(engine, "a", "r"), 0, "s")

    assert waiting(engine) == NOTHING
    assert overview(engine) == Overview(open=False, ended=False, ahead=False)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (a_timer, replace(NOTHING, timer_due_at=after(5))),
        (a_message, replace(NOTHING, outbox=True)),
        (a_sub_run, replace(NOTHING, parents=True)),
        (an_entry, replace(NOTHING, audit=True)),
        (a_step_that_waits_for_a_pool, replace(NOTHING, pools=True)),
        (lambda engine: add_run(engine, "a", "r", status="queued"), replace(NOTHING, queues=True)),
    ],
)
def test_what_waits_is_found(engine: Engine, make: Callable[[Engine], object], found: PendingWork) -> None:
    make(engine)

    assert waiting(engine) == found


def test_a_young_message_is_not_overdue(engine: Engine) -> None:
    a_message(engine)

    assert waiting(engine, before=after(-2)) == NOTHING


def test_an_open_attempt_and_an_ended_lease_are_seen(engine: Engine) -> None:
    add_node(engine, add_run(engine, "a", "r", status="running"), 0, "s", token="t", token_state="dispatched")
    a_worker(engine, "w", heartbeat_at=NOW, lease_until=after(-1))

    assert overview(engine) == Overview(open=True, ended=True, ahead=False)


def test_only_heartbeats_of_a_clock_that_was_set_back_are_set_back(engine: Engine) -> None:
    a_worker(engine, "ahead", heartbeat_at=after(3600), lease_until=after(3610))
    a_worker(engine, "late", heartbeat_at=after(-5), lease_until=after(5))
    a_worker(engine, "new", heartbeat_at=after(1), lease_until=after(11))
    assert overview(engine) == Overview(open=False, ended=False, ahead=True)

    with Store(engine).begin() as tx:
        assert tx.leases.set_back(NOW, LEASE) == ["ahead"]
        found = {row["worker_id"]: (row["heartbeat_at"], row["lease_until"]) for row in tx.leases.workers()}

    assert found == {"ahead": (NOW, after(10)), "late": (after(-5), after(5)), "new": (after(1), after(11))}
    assert not overview(engine).ahead
