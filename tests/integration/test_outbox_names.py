"""Tasks in the outbox whose broker queue has too long a name: an earlier release did not measure it."""

from contextlib import suppress

import pytest

from services.scheduler.loops import relay
from shared.contracts.codec import decode_as
from shared.contracts.tasks import Task
from shared.errors import BrokerUnavailable
from shared.store import tables as t
from shared.transport import base
from tests.harness.eventually import PATIENCE_S, eventually
from tests.integration.scheduler_stack import Stack

_LABELS = {f"zone{number}": "v" * 40 for number in range(8)}
_SELECTOR = ", ".join(f"{name}: {value}" for name, value in _LABELS.items())


@pytest.mark.parametrize("deployment", ["distributed"], indirect=True)
def test_a_task_whose_queue_has_too_long_a_name_is_made_anew(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.scheduler()
    stack.dag("d", f"workerSelector: {{{_SELECTOR}}}\nsteps:\n  - echo hi\n")
    with monkeypatch.context() as patch:
        patch.setattr(base, "MOST_NAME_BYTES", 1 << 20)
        patch.setattr(relay, "MOST_NAME_BYTES", 1 << 20)
        with suppress(BrokerUnavailable):  # RabbitMQ's client loses its connection over the name
            stack.start("d")
        eventually(lambda: stack.rows(t.outbox) != [])
    queue = base.task_queue(_LABELS)
    eventually(lambda: stack.transport.healthy)
    stack.transport.declare([queue])

    (delivery,) = stack.transport.consume([queue], prefetch=1).take(1, PATIENCE_S)
    delivery.ack()

    assert decode_as(delivery.body, Task).step.name == stack.rows(t.nodes)[0]["name"]
    eventually(lambda: stack.rows(t.outbox) == [])
