"""How long the fires of scheduled times are kept, on both deployments."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from services.scheduler.loops import firing
from shared.service import Background
from shared.store import tables as t
from shared.store.writes.schedules import ScheduleWrites
from tests.harness.eventually import eventually
from tests.integration.schedule_rig import T0, Rig
from tests.integration.scheduler_stack import Stack

OLD = 2_500
"""More than one transaction deletes."""


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


def test_all_fires_that_are_too_old_are_deleted_however_many_there_are(rig: Rig) -> None:
    facts: dict[str, str | None] = {"file_name": "a", "kind": "start", "expression": "* * * * *", "reason": ""}
    facts |= {"outcome": "missed", "dag_name": "a", "until_at": None, "dag_run_id": None}
    times = [T0 - timedelta(days=91, minutes=number) for number in range(OLD)] + [T0 - timedelta(days=89)]
    with rig.stack.engine.begin() as connection:
        connection.execute(insert(t.cron_slots), [facts | {"slot_at": at, "decided_at": at} for at in times])

    while rig.one.firing.tidy():
        pass

    assert [row["slot_at"] for row in rig.stack.rows(t.cron_slots)] == times[-1:]


def test_schedules_fire_while_old_fires_are_deleted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    deleting, died = threading.Event(), threading.Event()

    def never_done(_writes: ScheduleWrites, *_arguments: Any) -> int:
        deleting.set()
        return firing.FORGET_AT_ONCE

    monkeypatch.setattr(firing, "_TIDY_EVERY_S", 0)
    monkeypatch.setattr(ScheduleWrites, "forget_fires", never_done)
    rig.dag("a", 'schedule: "0 12 * * *"\n')
    loop = Background("firing", rig.one.firing.run, died.set, rig.one.firing.wake)
    loop.start()
    try:
        eventually(deleting.is_set)
        rig.now = T0 + timedelta(seconds=30)
        eventually(lambda: [each[2] for each in rig.ledger()] == ["fired"])
    finally:
        loop.stop()
    assert (loop.alive, died.is_set()) == (False, False)
