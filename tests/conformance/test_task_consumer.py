"""A task that stays unsettled does not hold up its queue; on both transports."""

import pytest

from services.worker import task_consumer
from services.worker.task_consumer import TaskConsumer
from shared.transport.base import Delivery, Transport
from tests.conformance.transport_moves import SHORT_S, fresh, put
from tests.harness.eventually import eventually


def take(consumer: TaskConsumer) -> Delivery:
    taken: list[Delivery] = []

    def one() -> bool:
        taken.extend(consumer.take(1, 0.1))
        return bool(taken)

    eventually(one)
    return taken[0]


def test_tasks_behind_one_that_stays_unsettled_arrive(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    route, added = fresh(), fresh()
    consumer = TaskConsumer(transport, [route])
    consumer.add_queue(added)
    put(transport, route, b"1", b"2", b"3", b"4")
    first = take(consumer)
    assert consumer.take(1, SHORT_S) == []

    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", 0.0)
    second = take(consumer)
    third = take(consumer)

    assert [(one.body, one.redelivered, one.held) for one in (first, second, third)] == [
        (b"1", False, True),
        (b"2", False, True),
        (b"3", False, True),
    ]
    first.ack()
    third.retry()
    second.ack()
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", 3600.0)
    left = {}
    for _ in range(2):
        one = take(consumer)
        left[one.body] = one.redelivered
        one.ack()
    assert left == {b"3": True, b"4": False}
    put(transport, added, b"5")
    take(consumer).ack()
    consumer.close()
    assert [transport.waiting(queue) for queue in (route, added)] == [0, 0]


def test_nothing_is_taken_while_it_is_paused(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", 0.0)
    route = fresh()
    consumer = TaskConsumer(transport, [route])
    put(transport, route, b"1", b"2")
    first = take(consumer)

    consumer.pause()
    assert consumer.take(1, SHORT_S) == []
    consumer.resume()
    take(consumer).ack()

    first.ack()
    consumer.close()
