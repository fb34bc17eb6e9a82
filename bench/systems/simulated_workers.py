"""Many workers in one process: they speak the real protocol over a real broker, and execute nothing.

Each has its heartbeats, its own broker queue and its share of the common one. A task is reported as started and at once
as ended. Unlike real workers they share a few connections.
"""

import threading
import time
from collections.abc import Sequence
from typing import Self

from services.worker.reporting.heartbeat import HEARTBEATS_PER_LEASE
from shared.clock import utc_now
from shared.contracts.codec import decode, encode
from shared.contracts.events import AttemptFinished, AttemptStarted, Event, Heartbeat
from shared.contracts.tasks import Task
from shared.ids import new_run_id
from shared.transport.base import HEARTBEATS, Consumer, Outgoing, Transport, event_queue, task_queue, worker_queue

__all__ = ["SimulatedWorkers"]

_TICKS = 20
"""In how many groups the workers send their heartbeats, one group after the other."""
_PREFETCH = 20
_LOOK_S = 0.05


class SimulatedWorkers:
    """``count`` workers, spread over ``links``. ``heartbeats``, ``tasks`` and ``reports`` count the messages so far."""

    def __init__(self, links: Sequence[Transport], count: int, lease_s: float) -> None:
        self._links = links
        self._pause_s = lease_s / HEARTBEATS_PER_LEASE / _TICKS
        self._names = [f"sim-{number}" for number in range(count)]
        self._began = utc_now()
        self._consumers: dict[str, Consumer] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=body, name=body.__name__) for body in (self._beat, self._work)]
        self.heartbeats = self.tasks = self.reports = 0
        self.late_s = 0.0
        """By how much a group of heartbeats was sent too late, at most: what this process could not keep up with."""

    def __enter__(self) -> Self:
        for number, name in enumerate(self._names):
            self._consumers[name] = self._link(number).consume([task_queue({}), worker_queue(name)], prefetch=_PREFETCH)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _link(self, number: int) -> Transport:
        return self._links[number % len(self._links)]

    def _beat(self) -> None:
        due = time.monotonic()
        tick = 0
        while not self._over.wait(max(0.0, due - time.monotonic())):
            self.late_s = max(self.late_s, time.monotonic() - due)
            now = utc_now()
            for number in range(tick % _TICKS, len(self._names), _TICKS):
                name = self._names[number]
                message = Heartbeat(
                    worker_id=name,
                    incarnation=name,
                    host="simulated",
                    version="0",
                    started_at=self._began,
                    at=now,
                    slots=_PREFETCH,
                )
                self._link(number).send(Outgoing(HEARTBEATS, encode(message, id=new_run_id(), at=now), new_run_id()))
                self.heartbeats += 1
            tick += 1
            due += self._pause_s

    def _work(self) -> None:
        while not self._over.wait(_LOOK_S):
            for number, (name, consumer) in enumerate(self._consumers.items()):
                for delivery in consumer.take(_PREFETCH, 0):
                    task = decode(delivery.body).body
                    delivery.ack()
                    if isinstance(task, Task):
                        self.tasks += 1
                        self._report(self._link(number), name, task)

    def _report(self, link: Transport, name: str, task: Task) -> None:
        now = utc_now()
        facts = {
            "token": task.token,
            "run_key": task.run_key,
            "node": task.node,
            "worker_id": name,
            "incarnation": name,
            "at": now,
        }
        events: tuple[Event, ...] = (
            AttemptStarted.model_validate(facts),
            AttemptFinished.model_validate({**facts, "started_at": now, "outcome": "succeeded", "exit_code": 0}),
        )
        for event in events:
            link.send(Outgoing(event_queue(task.reports_to), encode(event, id=new_run_id(), at=now), new_run_id()))
            self.reports += 1
