"""The consumer of tasks that lets another one take over when a task stays unsettled."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from services.worker import task_consumer
from services.worker.task_consumer import TaskConsumer
from shared.transport.base import WorkerTransport, task_queue


class Task:
    """A delivery."""

    held = True


class Source:
    """A consumer to which the test delivers. It delivers what was sent before a pause, as RabbitMQ does."""

    def __init__(self) -> None:
        self.sent: list[Task] = []
        self.closed = False

    def take(self, limit: int, timeout_s: float) -> list[Task]:  # noqa: ARG002
        taken, self.sent = self.sent[:limit], self.sent[limit:]
        return taken

    def pause(self) -> None: ...

    def close(self) -> None:
        self.closed = True


class Broker:
    """Opens consumers, and keeps them in order."""

    def __init__(self) -> None:
        self.sources: list[Source] = []

    def consume(self, queues: Sequence[Any], *, prefetch: int) -> Source:  # noqa: ARG002
        self.sources.append(Source())
        return self.sources[-1]


def test_no_more_tasks_are_taken_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", 0)
    broker = Broker()
    consumer = TaskConsumer(cast("WorkerTransport", broker), [task_queue({})])
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
    consumer = TaskConsumer(cast("WorkerTransport", broker), [task_queue({})])
    broker.sources[0].sent.append(Task())
    consumer.take(1, 0)
    consumer.take(1, 0)  # another consumer takes over
    for source in broker.sources:
        source.sent.append(Task())

    assert len(consumer.take(1_000, 0)) == 2


def test_a_former_consumer_is_closed_when_its_tasks_are_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", 0)
    broker = Broker()
    consumer = TaskConsumer(cast("WorkerTransport", broker), [task_queue({})])
    task = Task()
    broker.sources[0].sent.append(task)
    consumer.take(1, 0)
    consumer.take(1, 0)
    assert [source.closed for source in broker.sources] == [False, False]

    task.held = False
    consumer.take(1, 0)

    assert [source.closed for source in broker.sources] == [True, False]
