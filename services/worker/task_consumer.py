"""Consume task queues, even while a task of one of them stays unsettled for long."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from shared.transport.base import BrokerQueue, Consumer, Delivery, WorkerTransport

__all__ = ["TaskConsumer"]

_log = logging.getLogger(__name__)
_LOOK_S = 0.25
"""How often to check whether tasks that were taken are settled."""
_HOLDS_UP_S = 5.0
"""How long a task may stay unsettled before another consumer takes over. A start is confirmed much sooner."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A task that was not settled when it was last looked at. ``since``: when it was taken (monotonic time)."""

    delivery: Delivery
    consumer: Consumer
    since: float


class TaskConsumer:
    """A ``Consumer`` with ``prefetch=1`` that no single task holds up.

    The broker sends no further task of a queue before the last one is settled. A task about which the worker asks
    schedulers can stay unsettled for minutes, and with it all tasks behind it would wait, whatever slots are free. So
    after ``_HOLDS_UP_S`` a new consumer takes over, and the former one only keeps what it has until that is settled.

    One thread calls ``take``; the other methods may be called by any thread.
    """

    def __init__(self, transport: WorkerTransport, queues: Sequence[BrokerQueue]) -> None:
        self._transport = transport
        self._queues = list(queues)
        self._running = True
        self._lock = threading.Lock()
        """Guards ``_queues``, ``_running`` and ``_current``, and the pauses that follow from them."""
        self._current: Consumer = transport.consume(queues, prefetch=1)
        self._aside: list[Consumer] = []
        self._held: list[_Held] = []

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        """See ``Consumer.take``."""
        self._look_at_held()
        # The broker may have sent a task before the pause reached it.
        found: list[tuple[Delivery, Consumer]] = []
        for consumer in self._aside:
            found += [(one, consumer) for one in consumer.take(limit - len(found), 0)]
        wait_s = 0 if found else min(timeout_s, _LOOK_S) if self._held or self._aside else timeout_s
        found += [(one, self._current) for one in self._current.take(limit - len(found), wait_s)]
        now = time.monotonic()
        self._held += [_Held(delivery, consumer, now) for delivery, consumer in found]
        return [delivery for delivery, _ in found]

    def interrupt(self) -> None:
        """See ``Consumer.interrupt``."""
        with self._lock:
            self._current.interrupt()

    def pause(self) -> None:
        """See ``Consumer.pause``."""
        with self._lock:
            self._running = False
            self._current.pause()

    def resume(self) -> None:
        """See ``Consumer.resume``."""
        with self._lock:
            self._running = True
            self._current.resume()

    def add_queue(self, queue: BrokerQueue) -> None:
        """See ``Consumer.add_queue``. Does nothing if the queue is consumed already."""
        with self._lock:
            if queue in self._queues:
                return
            self._queues.append(queue)
            current = self._current
        current.add_queue(queue)

    def close(self) -> None:
        """See ``Consumer.close``."""
        for consumer in (*self._aside, self._current):
            consumer.close()

    def _look_at_held(self) -> None:
        self._held = [held for held in self._held if held.delivery.held]
        for consumer in [one for one in self._aside if not any(held.consumer is one for held in self._held)]:
            self._aside.remove(consumer)
            consumer.close()
        late = time.monotonic() - _HOLDS_UP_S
        if self._running and any(held.consumer is self._current and held.since <= late for held in self._held):
            self._take_over()

    def _take_over(self) -> None:
        """Let a new consumer take over from the current one."""
        with self._lock:
            former, queues = self._current, list(self._queues)
            former.pause()
        # May wait for the broker.
        new = self._transport.consume(queues, prefetch=1)
        with self._lock:
            self._current = new
            former.pause()
            if not self._running:
                new.pause()
            missed = self._queues[len(queues) :]
        for queue in missed:
            new.add_queue(queue)
        self._aside.append(former)
        _log.info(
            "intake.new_consumer", extra={"why": "a task has not been settled for long", "aside": len(self._aside)}
        )
