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
_AHEAD = (8, 4, 2)
"""The prefetch counts of each queue while many slots are free. A worker has the first one that is at most a
``_SLOTS``-th of its slots for each queue, or 1."""
_SLOTS = 4
_MUCH, _LITTLE = 3, 2
"""Free slots for each queue and task ahead: many are free from the first number on, few below the second. What the
broker has sent and the intake has not seen always finds a slot, as at most so many tasks of each queue are taken
between two counts."""
_CLOSE_AFTER_S = 1.0
"""How long a former consumer is kept at least, to wind down: a close would return the tasks that still arrive."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A task that was not settled when it was last looked at. ``since``: when it was taken (monotonic time)."""

    delivery: Delivery
    consumer: Consumer
    since: float


@dataclass(frozen=True, slots=True)
class _Former:
    """A consumer that another one replaced. It keeps what it has until that is settled."""

    consumer: Consumer
    since: float


class TaskConsumer:
    """A ``Consumer`` that no single task holds up, and that takes no more tasks than there is room for.

    While few slots are free, the prefetch count is 1: the broker sends no further task of a queue before the last one
    is settled, so no task has to be requeued. While many are free, it is one of ``_AHEAD``, and the starts of these
    tasks are reported and confirmed together. The prefetch count of a consumer is fixed when it begins, so a new one
    takes over.

    A task about which the worker asks schedulers can stay unsettled for minutes, and the tasks behind it would wait
    although slots are free. So a new consumer also takes over after ``_HOLDS_UP_S``.

    ``room``: how many tasks the worker can begin while it has none. One thread calls ``take``, ``narrow`` and
    ``add_queue``; the other methods may be called by any thread.
    """

    def __init__(self, transport: WorkerTransport, queues: Sequence[BrokerQueue], *, room: int) -> None:
        self._transport = transport
        self._queues = list(queues)
        self._running = True
        self._lock = threading.Lock()
        """Guards ``_running`` and ``_current``, and the pauses that follow from them."""
        self._slots = room
        self._ahead = 1
        self._ahead = self._wanted_ahead(room)
        self._current: Consumer = transport.consume(queues, prefetch=self._ahead)
        self._aside: list[_Former] = []
        self._held: list[_Held] = []

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        """See ``Consumer.take``. ``limit`` is also how many tasks the worker can begin now."""
        self._look_at_held()
        if self._running and self._wanted_ahead(limit) != self._ahead:
            self._take_over(self._wanted_ahead(limit))
        # The broker may have sent a task before the pause reached it.
        found: list[tuple[Delivery, Consumer]] = []
        for former in self._aside:
            found += [(one, former.consumer) for one in former.consumer.take(limit - len(found), 0)]
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
        if queue not in self._queues:
            self._queues.append(queue)
            self._current.add_queue(queue)

    def narrow(self, queues: Sequence[BrokerQueue]) -> None:
        """Consume only ``queues`` from now on. While ``winding_down``, ``take`` still returns tasks of the others."""
        self._queues = list(queues)
        self._take_over(self._ahead)

    @property
    def winding_down(self) -> bool:
        """Whether the broker may still send tasks to a consumer that another one replaced."""
        return any(former.since > time.monotonic() - _CLOSE_AFTER_S for former in self._aside)

    def close(self) -> None:
        """See ``Consumer.close``."""
        for former in self._aside:
            former.consumer.close()
        self._current.close()

    def _wanted_ahead(self, room: int) -> int:
        """Return the prefetch count for this many free slots; between the two limits it stays as it is."""
        queues = len(self._queues)
        most = next((each for each in _AHEAD if self._slots >= _SLOTS * each * queues), 1)
        if room >= _MUCH * most * queues:
            return most
        if room < _LITTLE * self._ahead * queues:
            return 1
        return self._ahead

    def _look_at_held(self) -> None:
        now = time.monotonic()
        self._held = [held for held in self._held if held.delivery.held]
        for former in [one for one in self._aside if one.since <= now - _CLOSE_AFTER_S]:
            if not any(held.consumer is former.consumer for held in self._held):
                self._aside.remove(former)
                former.consumer.close()
        late = now - _HOLDS_UP_S
        if self._running and any(held.consumer is self._current and held.since <= late for held in self._held):
            self._take_over(self._ahead)
            # Not logged when the room has changed, which may happen several times in a second.
            _log.info(
                "intake.new_consumer",
                extra={"why": "a task has not been settled for long", "aside": len(self._aside)},
            )

    def _take_over(self, ahead: int) -> None:
        """Let a new consumer take over from the current one."""
        with self._lock:
            former = self._current
            former.wind_down()
        # May wait for the broker.
        new = self._transport.consume(self._queues, prefetch=ahead)
        with self._lock:
            self._current, self._ahead = new, ahead
            former.wind_down()  # again, in case it was resumed meanwhile
            if not self._running:
                new.pause()
        self._aside.append(_Former(former, time.monotonic()))
