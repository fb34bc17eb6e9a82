"""A gateway or a worker that is there before the first scheduler waits for the exchanges and queues."""

import itertools
import time

import pytest

from services.worker.task_consumer import TaskConsumer
from shared.errors import BrokerUnavailable
from shared.transport.base import EVENTS, Outgoing, task_queue, worker_queue
from shared.transport.open import open_transport
from shared.transport.rabbitmq import consumer
from tests.harness.eventually import PATIENCE_S, eventually


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
    assert [delivery.body for delivery in consumer.take(1, PATIENCE_S)] == [b"own"]

    scheduler.declare([tasks])
    scheduler.send(Outgoing(tasks, b"any", "m3")).result(60)
    assert [delivery.body for delivery in consumer.take(1, PATIENCE_S)] == [b"any"]
    worker.close()
    scheduler.close()


def test_a_queue_that_does_not_exist_yet_holds_up_no_task_of_the_others(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue of a worker pool exists from its first task on, and the tasks of a worker selector have their own.

    A worker with both consumes them anew whenever the number of its free slots changes much.
    """
    # Much longer than usual, so that a busy machine is not taken for a wait.
    monkeypatch.setattr(consumer, "OPEN_TIMEOUT_S", PATIENCE_S)
    scheduler = open_transport(amqp_url, name="scheduler")
    pool, zone = task_queue({"pool": "gpu"}), task_queue({"pool": "gpu", "zone": "eu"})
    scheduler.declare([zone])
    worker = open_transport(amqp_url, name="worker", creates=False)
    eventually(lambda: worker.healthy)

    waits = [time.monotonic()]
    tasks = TaskConsumer(worker, [worker_queue("w1"), pool, zone], room=100)
    waits.append(time.monotonic())
    scheduler.send(Outgoing(zone, b"a task", "m1")).result(60)
    taken = tasks.take(10, 0)  # another consumer takes over
    waits.append(time.monotonic())

    assert [after - before < PATIENCE_S for before, after in itertools.pairwise(waits)] == [True, True]
    while not taken:
        taken = tasks.take(10, 1)
    assert [delivery.body for delivery in taken] == [b"a task"]
    taken[0].ack()
    scheduler.declare([pool])
    scheduler.send(Outgoing(pool, b"the pool's first", "m2")).result(60)
    eventually(lambda: [delivery.body for delivery in tasks.take(10, 1)] == [b"the pool's first"])
    worker.close()
    scheduler.close()
