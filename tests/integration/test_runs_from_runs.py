"""What a run takes over from the run that it repeats, on both deployments: whoever asked for it, and however."""

import pytest

from shared.contracts import commands as c
from shared.store import tables as t
from tests.integration.pool_rig import PoolRig
from tests.integration.schedule_rig import Rig as ScheduleRig
from tests.integration.scheduler_stack import Stack

WORK = "{name: work, command: a}"


@pytest.fixture
def rig(stack: Stack) -> PoolRig:
    return PoolRig(stack)


def queue_and_priority(stack: Stack, run_id: str) -> tuple[str, int]:
    [row] = stack.rows(t.dag_runs, dag_run_id=run_id)
    return row["queue"], row["priority"]


@pytest.mark.parametrize(
    "repeat",
    [
        c.RescheduleRun(dag_name="a", dag_run_id="r1", new_run_id="again"),
        c.RetryRun(dag_name="a", dag_run_id="r1", new_run_id="again"),
    ],
    ids=["reschedule", "retry as a new run"],
)
def test_a_run_that_repeats_another_has_its_queue_and_priority(rig: PoolRig, repeat: c.Command) -> None:
    rig.dag("a", WORK)
    rig.must(c.EnqueueRun(file_name="a", dag_run_id="r1", queue="urgent", priority="high"))
    assert rig.parts.admission.admit("urgent") == 1
    rig.end("r1/work", "failed")

    rig.must(repeat)

    assert queue_and_priority(rig.stack, "again") == queue_and_priority(rig.stack, "r1") == ("urgent", 1)


def test_an_approval_leaves_a_run_its_priority(rig: PoolRig) -> None:
    rig.dag("a", "{name: ok, type: hitl}", "{name: work, command: a, depends: ok}")
    rig.must(c.EnqueueRun(file_name="a", dag_run_id="low", queue="q"))
    rig.must(c.EnqueueRun(file_name="a", dag_run_id="high", queue="q", priority="high"))
    for run_id in ("high", "low"):
        assert rig.parts.admission.admit("q") == 1
        rig.end(f"{run_id}/ok")
    for run_id in ("low", "high"):
        rig.must(c.ApproveStep(dag_name="a", dag_run_id=run_id, step_name="ok"))
    rig.must(c.EnqueueRun(file_name="a", dag_run_id="new", queue="q", priority="high"))

    began = []
    for _ in range(3):
        assert rig.parts.admission.admit("q") == 1
        (run_id,) = (one for one in ("low", "high", "new") if rig.status(one) == "running")
        began.append(run_id)
        rig.must(c.StopRun(dag_name="a", dag_run_id=run_id))
    assert began == ["high", "low", "new"]

    for run_id in ("low", "high"):
        rig.must(c.RescheduleRun(dag_name="a", dag_run_id=run_id, new_run_id=f"{run_id}-again"))
    assert [queue_and_priority(rig.stack, f"{run_id}-again")[1] for run_id in ("low", "high")] == [0, 1]


def test_a_scheduled_restart_has_the_queue_and_priority_of_the_run_that_it_stops(stack: Stack) -> None:
    rig = ScheduleRig(stack)
    rig.dag("a", 'schedule:\n  restart: "45 * * * *"\n')
    rig.queue(c.EnqueueRun(file_name="a", dag_run_id="r1", queue="urgent", priority="high"))
    assert rig.one.admission.admit("urgent") == 1

    rig.at("12:45")

    (again,) = (run_id for run_id, _ in rig.runs() if run_id != "r1")
    assert queue_and_priority(stack, again) == ("urgent", 1)


def test_a_retried_sub_run_waits_for_a_worker_pool_that_serves_it_as_a_new_one_does(rig: PoolRig) -> None:
    rig.dag("c", WORK, head="workerSelector: {worker-pool: gpu}")
    rig.dag("a", "{name: call, call: c}")
    rig.start("r1")
    rig.call("r1/call", "")
    [called] = rig.stack.rows(t.dag_runs, dag_name="c")
    rig.end(f"{called['dag_run_id']}/work", "failed")
    assert rig.status("r1") == "failed"
    rig.must(c.CreateWorkspace(name="acme"), c.ReserveWorkerPool(name="gpu", workspaces=("acme",)))

    rig.must(c.RetryRun(dag_name="a", dag_run_id="r1"))
    rig.call("r1/call", "")

    assert (rig.status("r1"), rig.status(called["dag_run_id"])) == ("running", "queued")
