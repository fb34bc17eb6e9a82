"""The receiving side of the embedded transport: queues in memory, and consumers that take messages from them.

The transport's lock guards all data here.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from shared.transport.base import BrokerQueue, Delivery
from shared.transport.pending_reply import PendingReply

__all__ = ["EmbeddedConsumer", "Keeper", "MemoryQueue", "QueuedMessage"]

_URGENT_IN_A_ROW = 2
"""After so many urgent messages comes one that is not, as with RabbitMQ."""


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """One message in a queue or with a consumer. It is dropped after ``dies_at``, a monotonic time.

    ``returns``: how often the message came back. ``delivered``: whether a consumer has had it. ``pending``: the reply
    that its sender awaits. ``urgent``: see ``Outgoing``.
    """

    seq: int
    message_id: str
    body: bytes
    pending: PendingReply | None = None
    returns: int = 0
    delivered: bool = False
    dies_at: float | None = None
    urgent: bool = False


class ReadyMessages:
    """The messages that wait in a queue: the urgent ones and the others, each oldest first."""

    __slots__ = ("_in_a_row", "_others", "_urgent")

    def __init__(self) -> None:
        self._urgent: deque[QueuedMessage] = deque()
        self._others: deque[QueuedMessage] = deque()
        self._in_a_row = 0
        """How many urgent messages were taken since the last other one."""

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    def add(self, message: QueuedMessage) -> None:
        self._line(message).append(message)

    def put_back(self, message: QueuedMessage) -> None:
        """Put a message in front of those of its kind."""
        self._line(message).appendleft(message)

    def take(self) -> QueuedMessage:
        """Remove and return the next message. Raises ``IndexError`` if there is none."""
        if self._urgent and (self._in_a_row < _URGENT_IN_A_ROW or not self._others):
            self._in_a_row += 1
            return self._urgent.popleft()
        self._in_a_row = 0
        return self._others.popleft()

    def remove(self, message: QueuedMessage) -> bool:
        """Remove a message; return whether it was there."""
        line = self._line(message)
        if message not in line:
            return False
        line.remove(message)
        return True

    def _line(self, message: QueuedMessage) -> deque[QueuedMessage]:
        return self._urgent if message.urgent else self._others


@dataclass(slots=True, eq=False)
class MemoryQueue:
    """The messages of a queue, and the consumers to wake for them."""

    queue: BrokerQueue
    used_at: float
    assumed: bool = False
    """The queue was found in the journal, with assumed arguments. The next declaration sets the real ones."""
    ready: ReadyMessages = field(default_factory=ReadyMessages)
    consumers: "list[EmbeddedConsumer]" = field(default_factory=list)

    def expired(self, now: float) -> bool:
        """Return whether the queue has had no consumer for ``expires_s``."""
        expires_s = self.queue.expires_s
        return expires_s is not None and not self.consumers and now - self.used_at > expires_s

    def wake(self) -> None:
        """Wake all consumers of the queue."""
        for consumer in self.consumers:
            consumer.wake()


class Keeper(Protocol):
    """What a consumer needs from its transport. Hold ``lock`` to call ``give_back`` and ``subscribe``."""

    lock: "threading.RLock"

    def acked(self, queue: BrokerQueue, message: QueuedMessage) -> None: ...
    def give_back(self, source: MemoryQueue, message: QueuedMessage) -> None: ...
    def add_dead_letter(self, queue: BrokerQueue, message: QueuedMessage, why: str) -> None: ...
    def subscribe(self, consumer: "EmbeddedConsumer", queue: BrokerQueue) -> MemoryQueue: ...


class EmbeddedDelivery:
    """See ``shared.transport.base.Delivery``."""

    __slots__ = ("_consumer", "_message", "_source", "arrived_s")

    def __init__(
        self, consumer: "EmbeddedConsumer", source: MemoryQueue, message: QueuedMessage, arrived_s: float
    ) -> None:
        self._consumer, self._source, self._message, self.arrived_s = consumer, source, message, arrived_s

    @property
    def body(self) -> bytes:
        return self._message.body

    @property
    def message_id(self) -> str:
        return self._message.message_id

    @property
    def redelivered(self) -> bool:
        return self._message.returns > 0

    @property
    def queue(self) -> BrokerQueue:
        return self._source.queue

    @property
    def held(self) -> bool:
        return self._consumer.holds(self._source, self._message)

    def ack(self) -> None:
        self._consumer.settle(self._source, self._message, "ack", "")

    def retry(self) -> None:
        self._consumer.settle(self._source, self._message, "retry", "")

    def dead_letter(self, why: str) -> None:
        self._consumer.settle(self._source, self._message, "dead", why)

    def reply(self, body: bytes) -> None:
        if self._message.pending is not None:
            self._message.pending.answer(body)


class EmbeddedConsumer:
    """See ``shared.transport.base.Consumer``."""

    def __init__(self, transport: Keeper, prefetch: int) -> None:
        self._transport, self._prefetch = transport, prefetch
        self._arrival = threading.Condition(transport.lock)
        self._sources: deque[MemoryQueue] = deque()
        self._unsettled: dict[MemoryQueue, set[QueuedMessage]] = {}
        self._waiting = 0
        self._paused = False
        self._interrupted = False
        self._closed = False
        self._since: float | None = time.monotonic()

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        deadline = time.monotonic() + timeout_s
        with self._arrival:
            while not (taken := self._pull(limit)) and not self._interrupted and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._waiting += 1
                self._arrival.wait(left)
                self._waiting -= 1
            self._interrupted = False
        return taken

    def interrupt(self) -> None:
        with self._arrival:
            self._interrupted = True
            self.wake()

    def pause(self) -> None:
        with self._arrival:
            self._paused, self._since = True, None

    def wind_down(self) -> None:
        self.pause()  # nothing is ever on its way

    def resume(self) -> None:
        with self._arrival:
            self._since = self._since or time.monotonic()
            self._paused = False
            self.wake()

    def add_queue(self, queue: BrokerQueue) -> None:
        with self._arrival:
            source = self._transport.subscribe(self, queue)
            if source not in self._sources:
                self._sources.append(source)
                self._unsettled[source] = set()
                self.wake()

    @property
    def connected_for_s(self) -> float:
        with self._arrival:
            return 0.0 if self._since is None or not self._sources else time.monotonic() - self._since

    def close(self) -> None:
        with self._arrival:
            self._closed, self._since = True, None
            now = time.monotonic()
            for source, unsettled in self._unsettled.items():
                source.consumers.remove(self)
                source.used_at = now
                for message in sorted(unsettled, key=lambda message: -message.seq):
                    self._transport.give_back(source, message)
            self._unsettled.clear()
            self._sources.clear()
            self._arrival.notify_all()

    def wake(self) -> None:
        """Make a waiting ``take`` look at the queues again. Hold the transport's lock to call it."""
        if self._waiting:
            self._arrival.notify_all()

    def holds(self, source: MemoryQueue, message: QueuedMessage) -> bool:
        """Return whether this consumer has received the message and not settled it."""
        with self._arrival:
            return message in self._unsettled.get(source, ())

    def settle(self, source: MemoryQueue, message: QueuedMessage, how: str, why: str) -> None:
        """Settle a delivery: ``how`` is ``ack``, ``retry`` or ``dead`` (a dead letter, with the reason ``why``).

        Do nothing if the delivery is settled already. ``close`` settles all deliveries by giving them back.
        """
        with self._arrival:
            unsettled = self._unsettled.get(source)
            if unsettled is None or message not in unsettled:
                return
            unsettled.discard(message)
            if how == "retry":
                self._transport.give_back(source, message)
            elif how == "dead":
                self._transport.add_dead_letter(source.queue, message, why)
            if source.ready:
                self.wake()
        if how == "ack":
            # Outside the lock, because this may run the callbacks of the send, which is accepted only now.
            self._transport.acked(source.queue, message)

    def _pull(self, limit: int) -> list[Delivery]:
        taken: list[Delivery] = []
        if self._paused:
            return taken
        now = time.monotonic()
        for _ in range(len(self._sources)):
            source = self._sources[0]
            self._sources.rotate(-1)  # so that no queue starves another
            unsettled = self._unsettled[source]
            while source.ready and len(taken) < limit and len(unsettled) < self._prefetch:
                message = source.ready.take()
                if message.dies_at is not None and message.dies_at < now:
                    continue
                message.delivered = True
                unsettled.add(message)
                taken.append(EmbeddedDelivery(self, source, message, now))
        return taken
