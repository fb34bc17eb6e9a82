"""The consumer of tasks that lets another one take over when a task stays unsettled."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from services.worker import task_consumer
from services.worker.task_consumer import TaskConsumer
from shared.transport.base import WorkerTransport, task_queue, worker_queue


class Task:
    """A delivery."""

    held = True


class Source:
    """A consumer to which the test delivers. It delivers what was sent before a pause, as RabbitMQ does."""

    def __init__(self, prefetch: int) -> None:
        self.prefetch = prefetch
        self.sent: list[Task] = []
        self.closed = False

    def take(self, limit: int, timeout_s: float) -> list[Task]:  # noqa: ARG002
        taken, self.sent = self.sent[:limit], self.sent[limit:]
        return taken

    def add_queue(self, queue: Any) -> None: ...

    def pause(self) -> None: ...

    def wind_down(self) -> None: ...

    def close(self) -> None:
        self.closed = True


class Broker:
    """Opens consumers, and keeps them in order."""

    def __init__(self) -> None:
        self.sources: list[Source] = []

    def consume(self, queues: Sequence[Any], *, prefetch: int) -> Source:  # noqa: ARG002
        self.sources.append(Source(prefetch))
        return self.sources[-1]


def test_no_more_tasks_are_taken_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", 0)
    broker = Broker()
    consumer = TaskConsumer(cast("WorkerTransport", broker), [task_queue({})], room=1)
    for _ in range(2):
        broker.sources[-1].sent.append(Task())
        assert len(consumer.take(1, 0)) == 1
        consumer.take(1, 0)  # another consumer takes over
    assert len(broker.sources) == 3
    late: list[Any] = [Task(), Task()]
    for source, task in zip(broker.sources, late, strict=False):
        source.sent.append(task)

    assert [consumer.take(1, 0), consumer.take(1, 0)] == [[late[0]], [late[1]]]


def test_what_was_delivered_to_all_consumers_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stops takes once, to hand everything back."""
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", 0)
    broker = Broker()
    consumer = TaskConsumer(cast("WorkerTransport", broker), [task_queue({})], room=1)
    broker.sources[0].sent.append(Task())
    consumer.take(1, 0)
    consumer.take(1, 0)  # another consumer takes over
    for source in broker.sources:
        source.sent.append(Task())

    assert len(consumer.take(1_000, 0)) == 2


def test_a_former_consumer_is_closed_when_its_tasks_are_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", 0)
    monkeypatch.setattr(task_consumer, "_CLOSE_AFTER_S", 0)
    broker = Broker()
    consumer = TaskConsumer(cast("WorkerTransport", broker), [task_queue({})], room=1)
    task = Task()
    broker.sources[0].sent.append(task)
    consumer.take(1, 0)
    consumer.take(1, 0)
    assert [source.closed for source in broker.sources] == [False, False]

    task.held = False
    consumer.take(1, 0)

    assert [source.closed for source in broker.sources] == [True, False]


def test_a_former_consumer_is_not_closed_while_tasks_may_be_on_their_way() -> None:
    broker = Broker()
    consumer = TaskConsumer(cast("WorkerTransport", broker), [task_queue({})], room=1000)
    consumer.take(1, 0)  # another consumer takes over
    broker.sources[0].sent.append(Task())

    assert len(consumer.take(1, 0)) == 1
    assert not broker.sources[0].closed


@pytest.mark.parametrize(("room", "ahead"), [(1, 1), (15, 1), (16, 2), (31, 2), (32, 4), (63, 4), (64, 8), (1000, 8)])
def test_a_worker_with_much_room_gets_several_tasks_at_once(room: int, ahead: int) -> None:
    broker = Broker()

    TaskConsumer(cast("WorkerTransport", broker), [task_queue({}), worker_queue("w1")], room=room)

    assert [source.prefetch for source in broker.sources] == [ahead]


@pytest.mark.parametrize(("slots", "ahead"), [(100, 8), (16, 4), (8, 2)])
def test_another_consumer_takes_over_when_the_room_changes_much(slots: int, ahead: int) -> None:
    broker = Broker()
    consumer = TaskConsumer(cast("WorkerTransport", broker), [task_queue({})], room=slots)
    much, little = 3 * ahead, 2 * ahead

    for room in (slots, much, little, little - 1, little - 1, much - 1, much, little):
        consumer.take(room, 0)

    assert [source.prefetch for source in broker.sources] == [ahead, 1, ahead]


def test_the_prefetch_count_follows_the_number_of_queues() -> None:
    """As when a drained worker takes new runs again."""
    broker = Broker()
    consumer = TaskConsumer(cast("WorkerTransport", broker), [worker_queue("w1")], room=16)

    consumer.add_queue(task_queue({}))
    for room in (16, 8, 7, 12):
        consumer.take(room, 0)

    assert [source.prefetch for source in broker.sources] == [4, 2, 1, 2]


def test_a_paused_consumer_is_not_replaced() -> None:
    """A worker that stops takes all that has arrived, however much that is."""
    broker = Broker()
    consumer = TaskConsumer(cast("WorkerTransport", broker), [task_queue({})], room=1)
    consumer.pause()

    consumer.take(1000, 0)

    assert [source.prefetch for source in broker.sources] == [1]
