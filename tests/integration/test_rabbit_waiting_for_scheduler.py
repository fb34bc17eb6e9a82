"""A gateway or a worker that is there before the first scheduler waits for the exchanges and queues."""

import pytest

from shared.errors import BrokerUnavailable
from shared.transport.base import EVENTS, Outgoing, task_queue, worker_queue
from shared.transport.open import open_transport
from tests.harness.eventually import eventually


def test_a_worker_goes_on_when_a_scheduler_has_created_what_it_needs(amqp_url: str) -> None:
    worker = open_transport(amqp_url, name="worker", creates=False)
    assert not worker.healthy
    with pytest.raises(BrokerUnavailable, match="a scheduler must create the exchanges first.*dagway"):
        worker.send(Outgoing(EVENTS, b"report", "m1")).result(60)

    scheduler = open_transport(amqp_url, name="scheduler")
    eventually(lambda: worker.healthy)
    own, tasks = worker_queue("w1"), task_queue({})
    consumer = worker.consume([own, tasks], prefetch=1)
    scheduler.send(Outgoing(own, b"own", "m2")).result(60)
    assert [delivery.body for delivery in consumer.take(1, 10)] == [b"own"]

    scheduler.declare([tasks])
    scheduler.send(Outgoing(tasks, b"any", "m3")).result(60)
    assert [delivery.body for delivery in consumer.take(1, 10)] == [b"any"]
    worker.close()
    scheduler.close()
