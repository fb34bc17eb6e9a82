"""Removing a run that has ended."""

import pytest

from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.events import LogChunk
from shared.contracts.tasks import Task
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


def test_nothing_is_kept_of_a_log_that_arrives_after_its_run_was_removed(stack: Stack) -> None:
    """A worker that was cut off sends its reports later; or somebody with a worker's key makes up runs."""
    stack.scheduler()
    stack.dag("d", "steps:\n  - name: s\n    command: echo\n")
    stack.start("d", "removed")
    late = stack.worker.task()
    stack.worker.run(late)
    stack.until("succeeded", "removed")
    assert stack.ask(c.RemoveRun(dag_name="d", dag_run_id="removed")).outcome == "recorded"
    stack.start("d", "kept")
    task = stack.worker.task()
    of_others = [_chunk(late, seq=2), _chunk(task, seq=1)]

    stack.worker.print(late, b"late\n")
    stack.worker.finish(late, logs=[_chunk(late, seq=1)])
    stack.worker.start(task)
    stack.worker.print(task, b"in time\n")
    stack.worker.finish(task, logs=of_others)
    stack.until("succeeded", "kept")

    eventually(lambda: len(stack.rows(t.log_chunks, token=task.token)) == 2)
    assert {row["token"] for row in stack.rows(t.log_chunks)} == {task.token}


def _chunk(task: Task, seq: int) -> LogChunk:
    return LogChunk(
        token=task.token,
        run_key=task.run_key,
        node=task.node,
        stream="stdout",
        seq=seq,
        offset=0,
        data=b"more\n",
        at=utc_now(),
    )
