"""Messages that are too large for the broker, from before schedulers and workers measured them.

Without a guard, RabbitMQ closes the connection that sends one, with all that is in flight, each time that it is sent.
"""

import json
from pathlib import Path

import pytest

from services.scheduler.deciding import batch
from services.worker.reporting.reports import Reporter
from shared.clock import utc_now
from shared.contracts.codec import decode, encode
from shared.contracts.events import AttemptFinished
from shared.errors import MessageTooLarge
from shared.ids import new_run_id
from shared.store import tables as t
from shared.tracing import SpanContext
from shared.transport.base import BROKER_TAKES_BYTES, EVENTS, MAX_MESSAGE_BYTES, BrokerQueue, Durability, Outgoing
from shared.transport.open import open_transport
from tests.harness.eventually import PATIENCE_S, eventually
from tests.integration.scheduler_stack import Stack

_TRACE = str(SpanContext.named("run"))
_DAG = """
type: graph
steps:
  - name: one
    command: echo 1
  - name: two
    command: echo 2
  - name: after
    depends: [one, two]
    command: echo after
    retryPolicy: {limit: 3, intervalSec: 0}
"""


def test_a_message_that_the_broker_would_not_take_is_refused_and_leaves_the_connection(amqp_url: str) -> None:
    transport = open_transport(amqp_url, name="test")
    queue = BrokerQueue(f"test.large.{new_run_id()}", Durability.REPRODUCIBLE)
    transport.declare([queue])

    sends = [transport.send(Outgoing(queue, bytes(size), new_run_id())) for size in (1, BROKER_TAKES_BYTES + 1, 1)]

    with pytest.raises(MessageTooLarge):
        sends[1].result(PATIENCE_S)
    assert [sends[0].result(PATIENCE_S), sends[2].result(PATIENCE_S)] == [None, None]
    transport.send(Outgoing(queue, bytes(BROKER_TAKES_BYTES), new_run_id())).result(PATIENCE_S)
    transport.close()


@pytest.mark.parametrize("deployment", ["distributed"], indirect=True)
def test_a_task_in_the_outbox_that_is_too_large_fails_its_step(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    half = "x" * (BROKER_TAKES_BYTES // 2)
    stack.scheduler()
    stack.dag("large", _DAG)
    stack.start("large")
    with monkeypatch.context() as patch:
        patch.setattr(batch, "MAX_MESSAGE_BYTES", 1 << 40)  # as before it was measured
        for name in ("ONE", "TWO"):
            stack.worker.run(stack.worker.task(), outputs={name: half})
        eventually(lambda: any(len(row["body"]) > BROKER_TAKES_BYTES for row in stack.rows(t.outbox)))

    stack.until("failed")

    assert stack.nodes() == {"one": "succeeded", "two": "succeeded", "after": "failed"}
    (node,) = stack.rows(t.nodes, name="after")
    assert f"the limit is {MAX_MESSAGE_BYTES}: pass large data" in node["error"]
    eventually(lambda: stack.rows(t.outbox) == [])


def _spool(folder: Path, token: str, *, output: str = "", error: str = "") -> None:
    """Spool an end report as an earlier release did: without a look at its size."""
    now = utc_now()
    report = AttemptFinished(
        token=token,
        run_key="run",
        node=0,
        worker_id="w",
        incarnation="1",
        at=now,
        started_at=now,
        outcome="failed" if error else "succeeded",
        outputs={"VALUE": output},
        error=error,
    )
    body = encode(report, id=token, at=now, trace=_TRACE).decode()
    (folder / f"{token}.json").write_text(json.dumps({"route": EVENTS.name, "id": token, "body": body}) + "\n")


def test_a_spooled_report_that_is_too_large_arrives_without_its_values(tmp_path: Path, amqp_url: str) -> None:
    transport = open_transport(amqp_url, name="test")
    transport.declare([EVENTS])
    consumer = transport.consume([EVENTS], prefetch=10)
    _spool(tmp_path, "large-error", error="x" * BROKER_TAKES_BYTES)
    _spool(tmp_path, "large-output", output="x" * BROKER_TAKES_BYTES)
    let_go: list[str] = []
    reporter = Reporter(transport, tmp_path, let_go.append)
    reporter.start()

    eventually(lambda: let_go == ["large-error", "large-output"])
    reporter.stop()

    (delivery,) = consumer.take(1, PATIENCE_S)
    envelope = decode(delivery.body)
    assert isinstance(envelope.body, AttemptFinished)
    assert (delivery.message_id, envelope.id, envelope.trace) == ("large-output", "large-output", _TRACE)
    assert (envelope.body.outcome, envelope.body.outputs) == ("failed", {})
    assert f"the limit is {MAX_MESSAGE_BYTES}: pass large data in files" in envelope.body.error
    assert [path.name for path in tmp_path.iterdir()] == ["large-error.bad"]
    transport.close()
