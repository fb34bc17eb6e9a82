"""The poll for work that other schedulers left: which loop it wakes, and how often it asks the database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from services.scheduler.loops.poll import Poll
from services.scheduler.loops.relay import STALE_S
from shared.store.writes.pending_work import PendingWork
from shared.store.writes.transaction import Transaction

NOW = datetime(2026, 11, 29, tzinfo=UTC)
NOTHING = PendingWork(timer_due_at=None, outbox=False, parents=False, audit=False, pools=False, queues=False)
LOOPS = {
    "timer_due_at": "timers",
    "outbox": "relay",
    "parents": "parents",
    "audit": "audit_chain",
    "pools": "pools",
    "queues": "admission",
}


class Loop:
    """A loop that notes that it was woken, by whichever of its methods."""

    def __init__(self, name: str, woken: list[str]) -> None:
        self._name, self._woken = name, woken

    def wake(self, *_: Any) -> None:
        self._woken.append(self._name)

    note = note_overdue = want_look = wake


class Database:
    """A transaction that finds what the test says, and notes from when on messages were overdue."""

    def __init__(self, found: PendingWork) -> None:
        self.found = found
        self.asked: list[datetime] = []

    @property
    def pending_work(self) -> "Database":
        return self

    def find(self, outbox_before: datetime) -> PendingWork:
        self.asked.append(outbox_before)
        return self.found


def poll(woken: list[str], clock: list[float]) -> Poll:
    loops: dict[str, Any] = {name: Loop(name, woken) for name in LOOPS.values()}
    return Poll(**loops, steady=lambda: clock[0])


@pytest.mark.parametrize("kind", LOOPS)
def test_work_of_a_kind_wakes_the_loop_for_it_and_no_other(kind: str) -> None:
    woken: list[str] = []
    waits: dict[str, Any] = {kind: NOW if kind == "timer_due_at" else True}

    poll(woken, [0.0]).run(cast("Transaction", Database(replace(NOTHING, **waits))), NOW)

    assert woken == [LOOPS[kind]]


@pytest.mark.parametrize(("pass_every_s", "asked_at"), [(3.0, [0.0, 6.0, 12.0]), (4.0, [0.0, 4.0, 8.0, 12.0])])
def test_the_database_is_asked_every_second_pass_over_the_leases_and_every_one_while_they_are_rare(
    pass_every_s: float, asked_at: list[float]
) -> None:
    woken: list[str] = []
    clock = [0.0]
    one, database = poll(woken, clock), Database(NOTHING)
    found: list[float] = []

    while clock[0] <= 12:
        before = len(database.asked)
        one.run(cast("Transaction", database), NOW)
        found += [clock[0]] * (len(database.asked) - before)
        clock[0] += pass_every_s

    assert found == asked_at
    assert set(database.asked) == {NOW - timedelta(seconds=STALE_S)}
    assert woken == []
