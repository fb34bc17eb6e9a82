"""A task that stays unsettled does not hold up its queue; on both transports."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from services.worker import task_consumer
from services.worker.task_consumer import TaskConsumer
from shared.transport.base import Delivery, Transport
from tests.conformance.transport_moves import SHORT_S, fresh, put
from tests.harness.eventually import eventually

LONG_S = 3600.0
"""Longer than a test may take: no other consumer takes over, however busy the machine is."""


def take(consumer: TaskConsumer) -> Delivery:
    taken: list[Delivery] = []

    def one() -> bool:
        taken.extend(consumer.take(1, 0.1))
        return bool(taken)

    eventually(one)
    return taken[0]


def test_tasks_behind_one_that_stays_unsettled_arrive(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", LONG_S)
    route, added = fresh(), fresh()
    consumer = TaskConsumer(transport, [route], room=1)
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
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", LONG_S)
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
    consumer = TaskConsumer(transport, [route], room=1)
    put(transport, route, b"1", b"2")
    first = take(consumer)

    consumer.pause()
    assert consumer.take(1, SHORT_S) == []
    consumer.resume()
    take(consumer).ack()

    first.ack()
    consumer.close()


def test_several_tasks_arrive_at_once_only_while_there_is_much_room(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", LONG_S)
    route = fresh()
    consumer = TaskConsumer(transport, [route], room=100)
    put(transport, route, *(b"%d" % number for number in range(12)))
    taken: list[Delivery] = []

    def several() -> bool:
        taken.extend(consumer.take(100, 0.1))
        return len(taken) == 8

    eventually(several)
    assert consumer.take(100, SHORT_S) == []

    taken.append(take(consumer))
    assert consumer.take(1, SHORT_S) == []
    for one in taken:
        one.ack()
    while len(taken) < 12:
        taken.append(take(consumer))
        taken[-1].ack()

    assert sorted(int(one.body) for one in taken) == list(range(12))
    assert not any(one.redelivered for one in taken)
    consumer.close()
    assert transport.waiting(route) == 0


def test_no_task_is_returned_when_another_consumer_takes_over_in_the_middle_of_many(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that RabbitMQ returns to its queue counts as redelivered, and its worker has to ask a scheduler."""
    monkeypatch.setattr(task_consumer, "_CLOSE_AFTER_S", LONG_S)  # a task may be on its way for that long
    route = fresh()
    consumer = TaskConsumer(transport, [route], room=100)
    bodies = [b"%d" % number for number in range(600)]
    taken: list[Delivery] = []
    with ThreadPoolExecutor(1) as publisher:
        put_all = publisher.submit(put, transport, route, *bodies)

        def all_taken() -> bool:
            room = 100 if len(taken) // 20 % 2 else 10
            for one in consumer.take(room, 0.1):
                one.ack()
                taken.append(one)
            return len(taken) >= len(bodies)

        eventually(all_taken, every_s=0, slowest_s=0)
        put_all.result()

    assert sorted(one.body for one in taken) == sorted(bodies)
    assert [one.body for one in taken if one.redelivered] == []
    consumer.close()


def test_no_task_is_returned_when_a_worker_is_drained_in_the_middle_of_many(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test waits for as long. Tasks are on their way for less, also from a broker that stands still for seconds.
    monkeypatch.setattr(task_consumer, "_CLOSE_AFTER_S", 5.0)
    own, shared = fresh(), fresh()
    consumer = TaskConsumer(transport, [own, shared], room=100)
    put(transport, shared, *(b"%d" % number for number in range(300)))
    taken: list[Delivery] = []

    def take_all_now() -> None:
        for one in consumer.take(100, 0.1):
            one.ack()
            taken.append(one)

    while not taken:
        take_all_now()
    consumer.narrow([own])
    while consumer.winding_down:
        take_all_now()
    put(transport, own, b"own")
    while taken[-1].queue != own:
        take_all_now()
    assert consumer.take(100, SHORT_S) == []
    consumer.close()

    other = TaskConsumer(transport, [shared], room=100)
    while len(taken) < 301:
        taken.append(take(other))
        taken[-1].ack()
    other.close()
    assert sorted(one.body for one in taken) == sorted([b"own", *(b"%d" % number for number in range(300))])
    assert [one.body for one in taken if one.redelivered] == []
