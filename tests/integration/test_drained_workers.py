"""Draining a worker: a scheduler sends the order until a heartbeat confirms it, and the worker learns meanwhile."""

import logging
from pathlib import Path

import pytest

from shared.contracts import commands as c
from shared.contracts.codec import decode_as
from shared.contracts.control import DrainOrder, TaskQueueOpened
from shared.store import tables as t
from shared.transport.base import task_queue, worker_queue
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig, command, task
from tests.integration.scheduler_stack import Stack


def test_a_drain_is_recorded_and_repeated_until_the_worker_says_so(stack: Stack) -> None:
    worker_id = stack.worker.worker_id
    heard: list[bool] = []
    stack.transport.listen([f"worker.{worker_id}"], lambda _, body: heard.append(decode_as(body, DrainOrder).drained))
    stack.scheduler()
    stack.worker.beat(drained=False)
    eventually(lambda: stack.rows(t.workers, worker_id=worker_id) != [])

    def told(wanted: bool) -> None:
        """Send a heartbeat that contradicts the order, and wait until the order is sent again."""
        heard.clear()
        stack.worker.beat(drained=not wanted)
        eventually(lambda: wanted in heard)

    drain = c.DrainWorker(by="ann", worker_id=worker_id, reason="new disk")
    assert stack.ask(drain).result == {"drained": True}
    # More than once, if the scheduler records the heartbeat before the order again.
    eventually(lambda: True in heard)
    told(True)
    told(True)
    stack.ask(c.DrainWorker(by="bob", worker_id=worker_id))
    [row] = stack.rows(t.workers, worker_id=worker_id)
    assert (row["drained_by"], row["drain_reason"], row["state"]) == ("ann", "new disk", "live")

    assert stack.ask(c.ResumeWorker(by="bob", worker_id=worker_id)).result == {"drained": False}
    told(False)
    [row] = stack.rows(t.workers, worker_id=worker_id)
    assert (row["drained_at"], row["drained_by"], row["drain_reason"]) == (None, None, None)
    for order, code in (
        (c.ResumeWorker(worker_id=worker_id), "bad_request"),
        (c.DrainWorker(worker_id="nobody"), "not_found"),
        (c.ResumeWorker(worker_id="nobody"), "not_found"),
    ):
        error = stack.ask(order).error
        assert error is not None
        assert error.code == code


def test_a_drained_worker_consumes_a_queue_that_it_learns_of_only_when_it_is_resumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    selector = {"gpu": "true"}
    with Rig(tmp_path, labels=selector) as rig:
        rig.transport.declare([task_queue(selector)])
        rig.broadcast("worker.w1", DrainOrder(drained=True))
        eventually(lambda: rig.worker.facts().draining)
        rig.give(task(command("true"), token="new"), task_queue(selector))
        rig.broadcast("workers", TaskQueueOpened(selector=selector))
        eventually(lambda: "selector.learned" in [record.msg for record in caplog.records])
        rig.give(task(command("true"), token="own"), worker_queue("w1"))
        assert rig.finished("own").outcome == "succeeded"
        assert rig.events("new") == []

        rig.broadcast("worker.w1", DrainOrder(drained=False))
        assert rig.finished("new").outcome == "succeeded"
