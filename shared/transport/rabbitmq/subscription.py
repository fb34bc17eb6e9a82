"""One broker queue of a consumer: a channel, which consumes, pauses, winds down and settles what it has received.

The broker handles the frames of a channel in the order in which they were sent. So a cancel sent before an
acknowledgement takes effect before the acknowledgement, and with ``prefetch=1`` no further message can arrive.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from pika.spec import Basic

from shared.transport.base import BrokerQueue
from shared.transport.rabbitmq.bare_methods import send_cancel, send_consume
from shared.transport.rabbitmq.batches import parts_of
from shared.transport.rabbitmq.connection import Connection, LaterTry
from shared.transport.rabbitmq.declaring import FORBIDDEN, MISSING, declare_queue, is_declared_by_its_consumer
from shared.transport.rabbitmq.delivery import Origin, RabbitDelivery, Settle, Settlement

__all__ = ["QueueSubscription"]

_TAG = "c"
_RETRY_S = 1.0
_QUICK_RETRY_S = 0.05
_QUIET_S = 0.5
_MISSING_RETRY_S = 2.0
"""Each try to consume from a queue that does not exist costs a channel, and a line in the broker's log."""

_log = logging.getLogger(__name__)

_State = Literal["no channel", "opening", "unknown to pika", "starting", "running", "stopping", "idle"]
_Change = Literal["pause", "wind_down", "resume", "close"]
_Order = Settle | _Change


class Subscriber(Protocol):
    """What a subscription needs from its consumer; see ``RabbitConsumer``."""

    creates: bool
    prefetch: int
    acks_wait_s: float
    priorities: Mapping[str, int]
    may_consume: Callable[[], bool]

    def arrived(self, deliveries: Sequence[RabbitDelivery]) -> None:
        """Buffer the messages of one delivery."""

    def void(self, channel: Any) -> None:
        """Drop the buffered messages of a closed channel."""


class QueueSubscription:
    """One broker queue of one consumer. Any thread may call ``settle``, ``order`` and ``close``.

    All other methods run on the connection's thread.
    """

    def __init__(
        self,
        consumer: Subscriber,
        connection: Connection,
        settlement: Settlement,
        queue: BrokerQueue,
        running: bool,
    ) -> None:
        self.queue, self.connection, self.settlement = queue, connection, settlement
        self.standing = threading.Event()
        """Set when the consumer has started, or the broker has answered that the queue does not exist: then there is
        nothing to wait for. It stays set after a lost connection."""
        self.forbidden = False
        """Whether the broker did not let this login consume when it was last asked."""
        self.consuming_since: float | None = None
        self._consumer = consumer
        self._arguments = {"x-priority": priority} if (priority := consumer.priorities.get(queue.name)) else {}
        self._orders: deque[tuple[_Order, Any, int]] = deque()
        self._flushing = False
        self._acks_wait = False
        self._quiet_at: float | None = None
        """When nothing will have come for ``_QUIET_S``, while the subscription winds down (monotonic time)."""
        self._wanted = running
        self._retry = LaterTry(connection, self.open)
        self._channel: Any = None
        self._state: _State = "no channel"
        self._unsettled: dict[int, int] = {}
        """By delivery tag, oldest first: how many messages of the delivery are not settled yet."""
        self._closed: threading.Event | None = None

    def order(self, what: _Change) -> None:
        """Change the subscription, in order with ``settle``."""
        self.settle(None, 0, what)

    def settle(self, channel: Any, tag: int, how: _Order) -> None:
        """Settle one message of a delivery. All but ``ack`` settle the whole delivery."""
        self._orders.append((how, channel, tag))
        if self._flushing:
            return
        wait_s = self._consumer.acks_wait_s
        if wait_s and how == "ack" and len(self._orders) < self._consumer.prefetch // 2:
            if not self._acks_wait:
                self._acks_wait = True
                self.connection.call(lambda: self.connection.later(wait_s, self._flush))
            return
        self._flushing = True
        self.connection.call(self._flush)

    def close(self) -> threading.Event:
        """Begin to close. The returned event is set when the broker has taken back the unsettled deliveries."""
        self._closed = closed = threading.Event()
        self.order("close")
        return closed

    def open(self) -> None:
        """Open the channel, declare the queue and consume from it. Called again after each lost connection."""
        connection = self.connection.pika
        if connection is None or not connection.is_open or self._state != "no channel" or self._closed is not None:
            return
        if not self._consumer.may_consume():
            # Consuming begins when publishing works; see the module ``transport``.
            return
        self._state = "opening"
        self._channel = connection.channel(on_open_callback=self._opened)
        self._channel.add_on_close_callback(self._channel_closed)

    def down(self) -> None:
        """Reset the state, because the connection was lost or the channel closed."""
        self._channel = None
        self._state = "no channel"
        self._unsettled.clear()
        self.consuming_since = None
        if self._quiet_at is not None:
            self._quiet_at, self._wanted = None, False
        if self._closed is not None:
            self._closed.set()

    def _opened(self, channel: Any) -> None:
        if self._closed is not None:
            channel.close()
            return
        channel.add_on_cancel_callback(self._cancelled_by_broker)
        channel.add_callback(self._cancelled, [Basic.CancelOk], False)
        channel.basic_qos(prefetch_count=self._consumer.prefetch)
        if self._consumer.creates or is_declared_by_its_consumer(self.queue):
            declare_queue(self.connection, channel, self.queue, self._declared)
        else:
            channel.queue_declare(self.queue.name, passive=True, callback=self._declared)

    def _declared(self, _frame: Any) -> None:
        self._state = "unknown to pika"
        self._reconcile()
        if not self._wanted:
            self.standing.set()

    def _consuming(self, _frame: Any) -> None:
        self._state = "running"
        self.forbidden = False
        self.consuming_since = time.monotonic()
        self.standing.set()
        self._reconcile()

    def _cancelled(self, _frame: Any) -> None:
        self._state = "idle"
        self._reconcile()

    def _cancelled_by_broker(self, _frame: Any) -> None:
        # The queue was deleted or moved, or consumer_timeout has passed. After the close a new channel is opened.
        if self._channel is not None and self._channel.is_open:
            self._channel.close(reply_text="cancelled by the broker")

    def _channel_closed(self, channel: Any, reason: object) -> None:
        if channel is not self._channel:
            return
        closing = self._closed is not None
        self.down()
        self._consumer.void(channel)
        if closing or not channel.connection.is_open:
            return
        code = getattr(reason, "reply_code", None)
        self.forbidden = code == FORBIDDEN
        if code == MISSING:
            _log.info(
                "consumer.waits", extra={"broker_queue": self.queue.name, "why": "no scheduler has declared the queue"}
            )
            delay_s = _MISSING_RETRY_S
            self.standing.set()
        else:
            _log.warning("consumer.interrupted", extra={"broker_queue": self.queue.name, "error": str(reason)})
            delay_s = _QUICK_RETRY_S if self.standing.is_set() else _RETRY_S
            self.standing.clear()
        self._retry.after(delay_s)

    def _arrived(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        parts = parts_of(properties, body)
        self._unsettled[method.delivery_tag] = len(parts)
        origin = Origin(self, channel, method.delivery_tag, len(parts) == 1, time.monotonic())
        self._consumer.arrived([RabbitDelivery(origin, method, properties, part) for part in parts])
        if self._quiet_at is not None:
            self._begin_to_wind_down()
            self._flush()

    def _reconcile(self) -> None:
        """Start or stop consuming, as ``pause`` and ``resume`` ask.

        A new start waits until all deliveries are settled. The broker counts the prefetch for each start of a consumer,
        so unsettled deliveries from before a pause would exceed it.
        """
        if self._channel is None or not self._channel.is_open:
            return
        if not self._wanted and self._state == "running":
            self._state = "stopping"
            self.consuming_since = None
            send_cancel(self._channel, _TAG)
        elif self._wanted and self._state == "unknown to pika":
            # The first start gives pika the callback. Later starts use ``send_consume``: a call of pika's would wait in
            # its list of calls, where an acknowledgement would overtake it.
            self._state = "starting"
            self._channel.basic_consume(
                self.queue.name, self._arrived, consumer_tag=_TAG, arguments=self._arguments, callback=self._consuming
            )
        elif self._wanted and self._state == "idle" and not self._unsettled:
            self._state = "running"
            self.consuming_since = time.monotonic()
            send_consume(self._channel, self.queue.name, _TAG, self._arguments)

    def _flush(self) -> None:
        self._flushing = self._acks_wait = False
        if self._quiet_at is not None:
            if self._more_may_come(self._quiet_at):
                return
            self._quiet_at, self._wanted = None, False
            self._reconcile()
        acked: set[int] = set()
        while self._orders:
            what, channel, tag = self._orders.popleft()
            if what == "wind_down":
                if self._state == "running" and self._closed is None:
                    self._acknowledge(acked)
                    self._begin_to_wind_down()
                    return
                self._wanted = False
            elif what in ("pause", "resume"):
                self._wanted = what == "resume"
                self._reconcile()
            elif what == "close":
                self._acknowledge(acked)
                self._shut()
                return
            elif channel is self._channel and channel.is_open:
                if what == "ack":
                    self._unsettled[tag] -= 1
                    if not self._unsettled[tag]:
                        acked.add(tag)
                else:
                    self._unsettled.pop(tag, None)
                    channel.basic_nack(tag, requeue=what == "retry")
        self._acknowledge(acked)
        self._reconcile()

    def _begin_to_wind_down(self) -> None:
        self._quiet_at = time.monotonic() + _QUIET_S
        self.connection.later(_QUIET_S, self._flush)

    def _more_may_come(self, quiet_at: float) -> bool:
        """Return whether the broker may still send a message although nothing is settled."""
        room = len(self._unsettled) < self._consumer.prefetch
        return room and time.monotonic() < quiet_at and self._closed is None

    def _acknowledge(self, acked: set[int]) -> None:
        """Acknowledge with few frames: one for all deliveries before the first unsettled one, one for each other."""
        if not acked or self._channel is None or not self._channel.is_open:
            return
        upto = 0
        for tag in self._unsettled:
            if tag not in acked:
                break
            upto = tag
        for tag in acked:
            self._unsettled.pop(tag, None)
            if tag > upto:
                self._channel.basic_ack(tag)
        if upto:
            self._channel.basic_ack(upto, multiple=True)

    def _shut(self) -> None:
        if self._channel is not None and self._channel.is_open:
            self._channel.close()
        elif self._state != "opening" and self._closed is not None:
            self._closed.set()
