"""A worker that sends only what a test tells it to, by the real protocol over a real transport."""

import threading
from collections import deque
from typing import Any

from shared.clock import utc_now
from shared.contracts.codec import decode, encode
from shared.contracts.control import AttemptGranted, StopAttempt
from shared.contracts.events import (
    AttemptFinished,
    AttemptGivenUp,
    AttemptRequested,
    AttemptStarted,
    Doubt,
    Event,
    Heartbeat,
    LogChunk,
)
from shared.contracts.tasks import Task
from shared.ids import new_run_id
from shared.transport.base import (
    HEARTBEATS,
    LOGS,
    BrokerQueue,
    Outgoing,
    Transport,
    event_queue,
    task_queue,
    worker_queue,
)
from tests.harness.eventually import eventually

__all__ = ["ScriptedWorker"]


class ScriptedWorker:
    """Takes tasks from the shared broker queue and its own. Acks immediately; reports only when the test says so.

    It drops copies, as a worker does: a scheduler that gets no CPU time is taken for dead, and another sends its task
    again.
    """

    def __init__(self, transport: Transport, worker_id: str = "w1", incarnation: str = "first") -> None:
        self.worker_id = worker_id
        self.incarnation = incarnation
        self.told: list[StopAttempt] = []
        self.granted: list[AttemptGranted] = []
        self._transport = transport
        self._waiting: deque[Task] = deque()
        self._taken: set[str] = set()
        self._lock = threading.Lock()
        self._consumer = transport.consume([task_queue({}), worker_queue(worker_id)], prefetch=1000)
        transport.listen([f"worker.{worker_id}"], self._hear)

    def _hear(self, _topic: str, body: bytes) -> None:
        message = decode(body).body
        if isinstance(message, StopAttempt):
            self.told.append(message)
        elif isinstance(message, AttemptGranted):
            self.granted.append(message)

    def task(self) -> Task:
        """Wait for the next task and return it."""
        if not self._waiting:
            eventually(lambda: self._has_one(0.05))
        return self._waiting.popleft()

    def _has_one(self, timeout_s: float) -> bool:
        """Take what arrives; return whether a task waits that ``task`` has not returned."""
        for delivery in self._consumer.take(100, timeout_s):
            message = decode(delivery.body).body
            assert isinstance(message, Task)
            if message.token not in self._taken:
                self._taken.add(message.token)
                self._waiting.append(message)
            delivery.ack()
        return bool(self._waiting)

    def tasks(self, count: int) -> list[Task]:
        return [self.task() for _ in range(count)]

    def has_none(self) -> bool:
        """Whether no new task arrived within a short while."""
        return not self._has_one(0.3)

    def start(self, task: Task) -> None:
        self._report(task, AttemptStarted(**self._facts(task), stdout="/tmp/out"))

    def ask(self, task: Task, doubt: str = Doubt.OLD, waited_s: float = 0) -> None:
        self._report(task, AttemptRequested(**self._facts(task), doubt=doubt, waited_s=waited_s, stdout="/tmp/out"))

    def finish(self, task: Task, outcome: str = "succeeded", **facts: Any) -> None:
        self._report(task, AttemptFinished(**self._facts(task), started_at=utc_now(), outcome=outcome, **facts))  # type: ignore[arg-type]

    def print(self, task: Task, data: bytes) -> None:
        """Send all output of an attempt as one log chunk."""
        chunk = LogChunk(
            token=task.token,
            run_key=task.run_key,
            node=task.node,
            stream="stdout",
            seq=0,
            offset=0,
            data=data,
            at=utc_now(),
        )
        self._send(LOGS, encode(chunk, id=new_run_id(), at=chunk.at))

    def give_up(self, task: Task) -> None:
        self._report(task, AttemptGivenUp(**self._facts(task)))

    def run(self, task: Task, outcome: str = "succeeded", **facts: Any) -> None:
        self.start(task)
        self.finish(task, outcome, **facts)

    def beat(self, *tokens: str, slots: int = 1000, **facts: Any) -> None:
        now = utc_now()
        message = Heartbeat(
            worker_id=self.worker_id,
            incarnation=self.incarnation,
            host="here",
            version="0",
            started_at=facts.pop("started_at", now),
            at=now,
            slots=slots,
            tokens=tokens,
            **facts,
        )
        self._send(HEARTBEATS, encode(message, id=new_run_id(), at=now))

    def _facts(self, task: Task) -> dict[str, Any]:
        return {
            "token": task.token,
            "run_key": task.run_key,
            "node": task.node,
            "worker_id": self.worker_id,
            "incarnation": self.incarnation,
            "at": utc_now(),
        }

    def _report(self, task: Task, event: Event) -> None:
        self._send(event_queue(task.reports_to), encode(event, id=new_run_id(), at=event.at))

    def _send(self, route: BrokerQueue, body: bytes) -> None:
        self._transport.send(Outgoing(route, body, new_run_id())).result(60)
