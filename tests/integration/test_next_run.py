"""When a DAG runs next; on both deployments."""

import pytest

from shared.store import tables as t
from tests.integration.scheduler_stack import Stack

YEARLY = "schedule: 0 0 1 1 *\nsteps:\n  - echo hi\n"


def test_a_stored_dag_has_its_next_run_when_its_caller_hears_of_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduler.loops.firing.Firing.run", lambda _self, stop: stop.wait())
    stack.scheduler()

    stack.dag("yearly", YEARLY)

    assert [row["next_start_at"] is None for row in stack.rows(t.schedules)] == [False]
