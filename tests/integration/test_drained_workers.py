"""The scheduler's part in draining a worker: it records the order, and sends it until a heartbeat confirms it."""

from shared.contracts import commands as c
from shared.contracts.codec import decode_as
from shared.contracts.control import DrainOrder
from shared.store import tables as t
from tests.harness.eventually import eventually
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
    for command, code in (
        (c.ResumeWorker(worker_id=worker_id), "bad_request"),
        (c.DrainWorker(worker_id="nobody"), "not_found"),
        (c.ResumeWorker(worker_id="nobody"), "not_found"),
    ):
        error = stack.ask(command).error
        assert error is not None
        assert error.code == code
