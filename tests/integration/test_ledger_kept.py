"""How long the fires of scheduled times are kept, on both deployments."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from shared.store import tables as t
from tests.integration.schedule_rig import T0, Rig
from tests.integration.scheduler_stack import Stack

OLD = 12_000
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

    assert rig.one.firing.tidy() == OLD

    assert [row["slot_at"] for row in rig.stack.rows(t.cron_slots)] == times[-1:]
