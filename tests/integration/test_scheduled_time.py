"""The scheduled time that a run is for, in its row and in its tasks."""

from datetime import datetime

import pytest

from shared.contracts import commands as c
from tests.integration.schedule_rig import T0, Rig
from tests.integration.scheduler_stack import Stack


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


def test_the_steps_of_a_run_know_the_time_for_which_it_was_started(rig: Rig) -> None:
    rig.dag("a", 'schedule:\n  start: "CRON_TZ=Asia/Tokyo 0 21 * * *"\n  restart: "45 * * * *"\ncatchup: latest\n')

    def at(run_id: str) -> datetime | None:
        found: datetime | None = rig.stack.run(run_id)["scheduled_at"]
        return found

    def told() -> tuple[str, str | None]:
        """Return the run of the next task, and the variable that its step has."""
        task = rig.stack.worker.task()
        return task.dag_run_id, dict(task.engine_env).get("DAG_RUN_SCHEDULE_TIME")

    rig.at("12:07")
    ((late, _),) = rig.runs()
    assert rig.one.admission.admit("a") == 1
    assert at(late) == T0.replace(hour=12, minute=0, second=0)
    assert told() == (late, "2026-11-24T12:00:00Z")

    rig.at("12:45")
    (restarted,) = (run_id for run_id, _ in rig.runs() if run_id != late)
    assert at(restarted) == T0.replace(hour=12, minute=45, second=0)

    rig.end("failed")
    rig.queue(c.RescheduleRun(dag_name="a", dag_run_id=late, new_run_id="anew"))
    rig.queue(c.RetryRun(dag_name="a", dag_run_id=late, new_run_id="retried"))
    rig.queue(c.StartRun(file_name="a", dag_run_id="by-hand"))
    assert [at(run_id) for run_id in ("anew", "retried", "by-hand")] == [at(late), at(late), None]
    assert dict(told() for _ in range(3)) == {
        "anew": "2026-11-24T12:00:00Z",
        "retried": "2026-11-24T12:00:00Z",
        "by-hand": None,
    }


def test_a_caught_up_run_of_the_time_before_is_no_success_since_then(rig: Rig) -> None:
    rig.dag("a", 'schedule: "*/10 * * * *"\ncatchup: latest\nskipIfSuccessful: true\n')
    rig.at("12:03")
    rig.one.admission.admit("a")
    rig.end()
    rig.at("12:10")

    assert rig.ledger() == [("12:00", "start", "fired"), ("12:10", "start", "fired")], rig.reasons()
