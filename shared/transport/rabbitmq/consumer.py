"""Consuming: one subscription per broker queue, and one buffer for all deliveries of a consumer."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from shared.transport.base import BrokerQueue, Delivery
from shared.transport.rabbitmq.connection import HEARTBEAT_S, Connection
from shared.transport.rabbitmq.delivery import RabbitDelivery, Settlement
from shared.transport.rabbitmq.subscription import QueueSubscription

__all__ = ["OPEN_TIMEOUT_S", "RabbitConsumer"]

OPEN_TIMEOUT_S = 5.0


class RabbitConsumer:
    """Implements ``shared.transport.base.Consumer``.

    ``may_consume`` tells whether publishing works. ``creates``: see ``open_transport``.
    """

    def __init__(
        self,
        connection: Connection,
        settlement: Settlement,
        forget: Callable[["RabbitConsumer"], None],
        may_consume: Callable[[], bool],
        *,
        creates: bool,
        prefetch: int,
        acks_wait_s: float,
        priorities: Mapping[str, int],
    ) -> None:
        self.creates = creates
        self.prefetch = prefetch
        self.acks_wait_s = acks_wait_s
        self.priorities = priorities
        self.may_consume = may_consume
        self._connection, self._settlement, self._forget = connection, settlement, forget
        self._buffer: deque[RabbitDelivery] = deque()
        self._arrival = threading.Condition()
        self._changing = threading.Lock()
        self._running = True
        self._interrupted = False
        self._closed = False
        self.subscriptions: list[QueueSubscription] = []

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        with self._arrival:
            if not self._buffer and timeout_s > 0 and not self._closed:
                self._arrival.wait_for(lambda: self._buffer or self._interrupted or self._closed, timeout_s)
            self._interrupted = False
            return [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]

    def interrupt(self) -> None:
        with self._arrival:
            self._interrupted = True
            self._arrival.notify_all()

    def pause(self) -> None:
        self._order("pause", running=False)

    def wind_down(self) -> None:
        self._order("wind_down", running=False)

    def resume(self) -> None:
        self._order("resume", running=True)

    def add_queue(self, queue: BrokerQueue) -> None:
        self.subscribe([queue])

    @property
    def connected_for_s(self) -> float:
        since = [subscription.consuming_since for subscription in self.subscriptions]
        now = time.monotonic()
        if not since or None in since or now - self._connection.heard_at > HEARTBEAT_S:
            return 0.0
        return now - max(self._connection.mended_at, *(moment for moment in since if moment is not None))

    def close(self) -> None:
        with self._arrival:
            self._closed = True
            self._buffer.clear()
            self._arrival.notify_all()
        closing = [subscription.close() for subscription in self.subscriptions]
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        for closed in closing:
            closed.wait(max(0.0, deadline - time.monotonic()))
        self._forget(self)

    def arrived(self, deliveries: Sequence[RabbitDelivery]) -> None:
        """Buffer the messages of one delivery. Runs on the connection's thread."""
        with self._arrival:
            if not self._closed:
                self._buffer.extend(deliveries)
                self._arrival.notify()

    def void(self, channel: Any) -> None:
        """Drop the buffered messages of a closed channel. Runs on the connection's thread.

        The broker delivers these messages again.
        """
        with self._arrival:
            self._buffer = deque(delivery for delivery in self._buffer if not delivery.of(channel))

    def up(self) -> None:
        """Open the subscriptions that are not open. Runs on the connection's thread."""
        for subscription in self.subscriptions:
            subscription.open()

    def down(self) -> None:
        """Drop the buffered messages of a lost connection: the broker delivers them again."""
        with self._arrival:
            self._buffer.clear()
        for subscription in self.subscriptions:
            subscription.down()

    def _order(self, what: Literal["pause", "wind_down", "resume"], *, running: bool) -> None:
        with self._changing:
            self._running = running
            for subscription in self.subscriptions:
                subscription.order(what)

    def subscribe(self, queues: Sequence[BrokerQueue]) -> None:
        """Consume from ``queues`` too. If the broker is connected, wait until it has started, for at most 5 s.

        Does not wait for a queue that does not exist, such as that of a worker pool that has had no task yet.
        """
        with self._changing:
            known = {subscription.queue for subscription in self.subscriptions}
            new = [
                QueueSubscription(self, self._connection, self._settlement, queue, self._running)
                for queue in queues
                if queue not in known
            ]
            self.subscriptions = [*self.subscriptions, *new]
        for subscription in new:
            self._connection.call(subscription.open)
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        for subscription in new:
            # Without a connection, do not wait: the subscription is opened after the connect.
            if self._connection.up.is_set():
                subscription.standing.wait(max(0.0, deadline - time.monotonic()))
