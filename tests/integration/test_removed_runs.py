"""Removing a run that has ended."""

import pytest

from shared.contracts import commands as c
from shared.store import tables as t
from shared.store.writes import history
from tests.conformance.store_rows import add_run
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


def test_many_sub_runs_of_a_removed_run_are_deleted_after_the_answer(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In short transactions, between which others write."""
    monkeypatch.setattr(history, "_AT_ONCE", 2)
    stack.scheduler()
    stack.dag("parent", "steps:\n  - name: s\n    command: echo\n")
    remove = c.RemoveRun(dag_name="parent", dag_run_id="r1")
    stack.start("parent", "r1")
    stack.worker.run(stack.worker.task())
    key = stack.until("succeeded")["run_key"]
    for number in range(5):
        add_run(stack.engine, "child", str(number), root_key=key, parent_key=key)

    assert stack.ask(remove).outcome == "recorded"

    gone = stack.ask(remove).error
    assert gone is not None
    assert gone.code == "not_found"
    # The id is free at once.
    assert stack.start("parent", "r1").outcome == "recorded"
    eventually(lambda: len(stack.rows(t.dag_runs)) == 1)
    assert (stack.run()["dag_name"], stack.run()["root_key"]) == ("parent", None)
