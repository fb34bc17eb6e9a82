"""Removing a run that has ended."""

from shared.contracts import commands as c
from shared.store import tables as t
from tests.harness.eventually import eventually
from tests.harness.invariants import violations
from tests.integration.scheduler_stack import Stack


def test_a_run_that_has_ended_is_removed_with_its_sub_runs(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("parent", "steps:\n  - call: child\n---\nname: child\nsteps:\n  - name: s\n    command: echo\n")
    remove = c.RemoveRun(dag_name="parent", dag_run_id="r1")
    stack.start("parent", "r1")
    task = stack.worker.task()

    refused = stack.ask(remove)
    stack.worker.run(task)
    stack.until("succeeded")
    removed = stack.ask(remove)

    assert refused.error is not None
    assert refused.error.code == "already_running"
    assert removed.outcome == "recorded"
    assert [stack.rows(table) for table in (t.dag_runs, t.nodes, t.attempts, t.transitions)] == [[], [], [], []]
    # The rows of sent messages are deleted some time later.
    eventually(lambda: violations(stack.engine) == [])
    gone = stack.ask(remove).error
    assert gone is not None
    assert gone.code == "not_found"
