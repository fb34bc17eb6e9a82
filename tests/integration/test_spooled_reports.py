"""Reports that a worker's former process left in its spool."""

from datetime import timedelta

from shared.clock import utc_now
from shared.store import tables as t
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack


def test_a_report_in_the_spool_of_a_restarted_worker_still_counts(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", "steps:\n  - echo hi\n")
    stack.start("one")
    task = stack.worker.task()
    stack.worker.beat(task.token)
    stack.worker.start(task)
    eventually(lambda: stack.nodes() == {"cmd_1": "running"})

    restarted_at = utc_now()
    stack.worker.incarnation = "second"

    def judged() -> bool:
        stack.worker.beat(task.token)
        (row,) = stack.rows(t.services)
        return row["reports_until"] is not None and row["reports_until"] > restarted_at + timedelta(seconds=2)

    eventually(judged, every_s=0.1)
    stack.worker.incarnation = "first"
    stack.worker.finish(task)
    stack.until("succeeded")
