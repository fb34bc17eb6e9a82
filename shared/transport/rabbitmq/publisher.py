"""Publishing: every message is ``mandatory`` and confirmed, and at most ``MAX_IN_FLIGHT`` messages are unconfirmed.

A message is waiting (not sent yet), in flight (sent, but not confirmed) or settled. If the connection is lost, waiting
messages fail with ``BrokerUnavailable`` and messages in flight with ``PublishUnconfirmed``; none is sent again. Waiting
messages for the same broker queue are sent as one batch if the queue allows it. Requests (direct reply-to) use the same
channel, as RabbitMQ requires. Replies and broadcasts may be lost, so they use a second channel without confirms.
"""

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import pika
from pika.spec import Basic

from shared.errors import BrokerUnavailable, DagwayError, MessageTooLarge, PublishUnconfirmed, Unroutable
from shared.transport.base import BROKER_TAKES_BYTES, Durability, Outgoing
from shared.transport.futures import settle
from shared.transport.pending_reply import PendingReply
from shared.transport.rabbitmq.batches import BATCH, BatchItem, pack, parts_of
from shared.transport.rabbitmq.connection import Connection
from shared.transport.rabbitmq.declaring import MISSING, check_exchanges, declare_exchanges, ignore_answer
from shared.transport.topology import CONTROL_EXCHANGE, HEADER_AGAIN

__all__ = ["Publisher"]

MAX_IN_FLIGHT = 1_000
"""Most AMQP messages in flight. In measurements, a few hundred gave the highest throughput."""
MAX_WAITING = 50_000
"""Most waiting messages. Beyond this number a send fails immediately, so that memory does not fill up."""
CONFIRM_TIMEOUT_S = 10.0
"""How long a send waits for its confirm before it fails. A quorum queue without a majority never confirms."""
_WATCH_S = 0.25
"""The shortest time until a look for overdue messages."""
BLOCKED_GRACE_S = 0.5
"""How long messages in flight wait for confirms after the broker blocks: it may have read them before."""
FLUSH_FROM = 8
"""When this many messages wait, a greenlet sends them itself, so that the broker works while more are produced."""
MAX_BATCH = 32
"""Most messages in a batch. A batch costs the broker and the services hardly more than one message."""
MAX_BATCH_BYTES = 64 * 1024
_BLOCKED = "the broker blocks publishers: it is low on memory or disk space (resource alarm)"
_REPLY_TO = "amq.rabbitmq.reply-to"
_URGENT = 5
"""The lowest AMQP priority that is high for a quorum queue (RabbitMQ 4.0, "Quorum Queues", Priorities)."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pending:
    settle: Callable[[DagwayError | None], None]
    exchange: str
    queue: str
    body: bytes
    properties: Any
    at: float
    batched: bool

    def goes_with(self, other: "_Pending") -> bool:
        """Return whether this and ``other`` may be in one batch: the same broker queue and the same reply address.

        A batch has no room for the headers of one message.
        """
        if not (self.batched and other.batched and self.queue == other.queue):
            return False
        if self.properties.headers or other.properties.headers:
            return False
        return bool(self.properties.reply_to == other.properties.reply_to)


class Publisher:
    """Publishes messages for all threads over one connection. Only the connection's thread uses the channels."""

    def __init__(
        self, params: Sequence[Any], name: str, *, creates: bool = True, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        self.creates = creates
        self._on_ready = on_ready
        self._waiting: deque[_Pending] = deque()
        self._in_flight: dict[int, list[_Pending]] = {}
        self._returned: dict[tuple[str, str], int] = {}
        self._replies: deque[tuple[str, str, bytes]] = deque()
        self._replying = False
        self._pending_replies: dict[str, PendingReply] = {}
        self._request_numbers = itertools.count(1)
        self._flushing = False
        self._watching = False
        self._tag = 0
        self._channel: Any = None
        self._loose: Any = None
        self._ready = False
        self._blocked_at: float | None = None
        self._closed = False
        self.connection = Connection(params, f"{name}-publish", on_up=self._up, on_down=self._down)

    @property
    def ready(self) -> bool:
        """Whether the channel to publish on is open. The broker may block it all the same."""
        return self._ready

    @property
    def blocked(self) -> bool:
        return self._blocked_at is not None

    @property
    def healthy(self) -> bool:
        return self._ready and self._blocked_at is None

    def send(self, message: Outgoing) -> "Future[None]":
        """Publish a message; see ``Transport.send``."""
        accepted: Future[None] = Future()
        self._post(partial(settle, accepted), message, self._properties(message))
        return accepted

    def request(self, message: Outgoing) -> PendingReply:
        """Publish a message whose consumer replies once; see ``Transport.request``."""
        key = str(next(self._request_numbers))
        pending = self._pending_replies[key] = PendingReply(partial(self._pending_replies.pop, key, None))
        properties = self._properties(message, reply_to=_REPLY_TO, correlation_id=key)
        self._post(pending.settle, message, properties)
        return pending

    def send_raw(self, queue: str, body: bytes, properties: Any) -> "Future[None]":
        """Publish a body with the given AMQP properties to one broker queue, with the same guarantees as ``send``.

        It goes through the default exchange, so only to this broker queue.
        """
        accepted: Future[None] = Future()
        self._enqueue(_Pending(partial(settle, accepted), "", queue, body, properties, time.monotonic(), batched=False))
        return accepted

    def _post(self, settle: Callable[[DagwayError | None], None], message: Outgoing, properties: Any) -> None:
        queue = message.queue
        at = time.monotonic()
        self._enqueue(_Pending(settle, queue.exchange, queue.name, message.body, properties, at, queue.batched))

    def _enqueue(self, pending: _Pending) -> None:
        size = len(pending.body)
        error: DagwayError | None = self.why_not()
        if size > BROKER_TAKES_BYTES:
            # Otherwise all that is in flight would lose its connection with it.
            error = MessageTooLarge(f"a message has {size} bytes, the broker takes {BROKER_TAKES_BYTES}")
        if error is not None:
            pending.settle(error)
            return
        self._waiting.append(pending)
        if not self._flushing:
            self._flushing = True
            self.connection.call(self._flush)
        elif len(self._waiting) == FLUSH_FROM:
            self.connection.run_now()
        if self._closed:
            # The connection's thread may have ended: the first thread to see the message fails it.
            self._fail_waiting(BrokerUnavailable("the transport was closed"))

    def broadcast(self, topic: str, body: bytes) -> None:
        """Publish to all current listeners. If there are none or the broker cannot be reached, the message is lost."""
        if self._ready:
            self.connection.call(lambda: self._send_loose(CONTROL_EXCHANGE, topic, body))

    def reply(self, reply_to: str, correlation_id: str, body: bytes) -> None:
        """Send the reply to a request. Replies that wait for the same process are sent as one message."""
        if not self._ready:
            return
        self._replies.append((reply_to, correlation_id, body))
        if not self._replying:
            self._replying = True
            self.connection.call(self._send_replies)

    def begin_close(self) -> None:
        """Let the connection send what waits and close. ``close`` waits for that."""
        self.connection.call(self._flush)
        self._closed = True
        self.connection.begin_close()

    def close(self) -> None:
        self.connection.close()
        self._settle_all(BrokerUnavailable("the transport was closed"))

    def _properties(self, message: Outgoing, **more: str) -> Any:
        mode = 1 if message.queue.durability is Durability.TRANSIENT else 2
        headers = {HEADER_AGAIN: True} if message.again else None
        priority = _URGENT if message.urgent else None
        return pika.BasicProperties(
            message_id=message.message_id, delivery_mode=mode, headers=headers, priority=priority, **more
        )

    def why_not(self) -> BrokerUnavailable | None:
        """Return why a send would fail immediately, or ``None`` if it would be tried."""
        if self._closed:
            return BrokerUnavailable("the transport was closed")
        if not self._ready:
            return BrokerUnavailable(str(self.connection.reason))
        if self._blocked_at is not None:
            return BrokerUnavailable(_BLOCKED)
        if len(self._waiting) >= MAX_WAITING:
            return BrokerUnavailable(f"{MAX_WAITING} messages already wait to be sent to the broker; try again later")
        return None

    def _up(self, connection: Any) -> None:
        self._blocked_at = None
        connection.add_on_connection_blocked_callback(self._blocked)
        connection.add_on_connection_unblocked_callback(self._unblocked)
        connection.channel(on_open_callback=self._set_up)
        connection.channel(on_open_callback=self._set_up_loose)

    def _set_up(self, channel: Any) -> None:
        self._channel = channel
        self._tag = 0
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._on_return)
        (declare_exchanges if self.creates else check_exchanges)(channel)
        channel.basic_consume(_REPLY_TO, self._on_reply, auto_ack=True, callback=ignore_answer)
        channel.confirm_delivery(self._on_confirm, callback=self._set_ready)

    def _set_up_loose(self, channel: Any) -> None:
        self._loose = channel
        channel.add_on_close_callback(self._channel_closed)

    def _set_ready(self, _frame: Any) -> None:
        self._ready = True
        self.connection.ready()
        self._on_ready()

    def _channel_closed(self, channel: Any, reason: object) -> None:
        if channel in (self._channel, self._loose) and channel.connection.is_open:
            missing = not self._ready and getattr(reason, "reply_code", None) == MISSING
            self._ready = False
            # The reason itself names the exchange.
            what = "a scheduler must create the exchanges first" if missing else "publishing channel closed"
            self.connection.drop(f"{what}: {reason}")

    def _down(self, error: BrokerUnavailable) -> None:
        self._ready = False
        self._channel = self._loose = None
        self._blocked_at = None
        self._settle_all(error)

    def _settle_all(self, error: BrokerUnavailable) -> None:
        self._ready = False
        self._fail_waiting(error)
        self._fail_in_flight(error)
        for pending in list(self._pending_replies.values()):
            pending.fail(BrokerUnavailable(f"no reply: {error}"))

    def _fail_waiting(self, error: BrokerUnavailable) -> None:
        while self._waiting:
            try:
                pending = self._waiting.popleft()
            except IndexError:  # another thread is failing them too (close)
                return
            pending.settle(error)

    def _fail_in_flight(self, error: BrokerUnavailable) -> None:
        lost, self._in_flight = self._in_flight, {}
        self._returned.clear()
        for together in lost.values():
            for pending in together:
                pending.settle(PublishUnconfirmed(f"sent to the broker, but not confirmed: {error}"))

    def _flush(self) -> None:
        self._flushing = False
        if not self._ready:
            # The connection was lost before anything was sent.
            self._fail_waiting(self.connection.reason)
            return
        if self._blocked_at is not None:
            self._fail_waiting(BrokerUnavailable(_BLOCKED))
            return
        while self._waiting and len(self._in_flight) < MAX_IN_FLIGHT:
            together = self._take_together()
            self._tag += 1
            self._in_flight[self._tag] = together
            first = together[0]
            body, properties = (first.body, first.properties) if len(together) == 1 else _batch(together)
            self._channel.basic_publish(first.exchange, first.queue, body, properties, mandatory=True)
        self._watch()

    def _take_together(self) -> list[_Pending]:
        waiting = self._waiting
        together = [first := waiting.popleft()]
        size = len(first.body)
        while waiting and len(together) < MAX_BATCH and first.goes_with(waiting[0]):
            size += len(waiting[0].body)
            if size > MAX_BATCH_BYTES:
                break
            together.append(waiting.popleft())
        return together

    def _send_replies(self) -> None:
        self._replying = False
        by_address: dict[str, list[tuple[str, bytes]]] = {}
        while self._replies:
            reply_to, correlation_id, body = self._replies.popleft()
            by_address.setdefault(reply_to, []).append((correlation_id, body))
        for reply_to, replies in by_address.items():
            if len(replies) == 1:
                ((correlation_id, body),) = replies
                self._send_loose("", reply_to, body, correlation_id=correlation_id)
            else:
                body = pack(BatchItem("", correlation_id, reply) for correlation_id, reply in replies)
                self._send_loose("", reply_to, body, content_type=BATCH)

    def _send_loose(self, exchange: str, key: str, body: bytes, **properties: str) -> None:
        if self._loose is not None and self._loose.is_open and self._blocked_at is None:
            self._loose.basic_publish(exchange, key, body, pika.BasicProperties(delivery_mode=1, **properties))

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        # The broker sends basic.return before the confirm of the same message.
        key = (method.routing_key, properties.message_id)
        self._returned[key] = self._returned.get(key, 0) + 1

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        nacked = isinstance(method, Basic.Nack)
        if method.multiple:
            tags = list(itertools.takewhile(lambda tag: tag <= method.delivery_tag, self._in_flight))
        else:
            tags = [method.delivery_tag]
        for tag in tags:
            together = self._in_flight.pop(tag, None)
            if together is not None:
                self._settle(together, nacked)
        if self._waiting and not self._flushing:
            self._flush()

    def _settle(self, together: list[_Pending], nacked: bool) -> None:
        error = self._refusal(together[0], nacked)
        for pending in together:
            pending.settle(error)

    def _refusal(self, first: _Pending, nacked: bool) -> DagwayError | None:
        if self._returned:
            key = (first.queue, first.properties.message_id)
            count = self._returned.pop(key, 0)
            if count > 1:
                self._returned[key] = count - 1
            if count:
                return Unroutable(f"there is no broker queue {first.queue}")
        return PublishUnconfirmed(f"the broker refused a message for the queue {first.queue}") if nacked else None

    def _on_reply(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        for part in parts_of(properties, body):
            pending = self._pending_replies.get(part.correlation_id)
            if pending is not None:
                pending.answer(part.body)

    def _blocked(self, _connection: Any, _frame: Any) -> None:
        _log.warning("broker.blocked", extra={"link": "publish"})
        self._blocked_at = time.monotonic()
        self._fail_waiting(BrokerUnavailable(_BLOCKED))
        self.connection.later(BLOCKED_GRACE_S, self._fail_if_blocked)

    def _unblocked(self, _connection: Any, _frame: Any) -> None:
        _log.info("broker.unblocked", extra={"link": "publish"})
        self._blocked_at = None

    def _fail_if_blocked(self) -> None:
        if self._blocked_at is not None and time.monotonic() - self._blocked_at >= BLOCKED_GRACE_S:
            self._fail_in_flight(BrokerUnavailable(_BLOCKED))

    def _watch(self) -> None:
        """Look when the oldest message in flight is overdue, unless a look is due earlier."""
        if self._watching or not self._in_flight:
            return
        self._watching = True
        oldest = next(iter(self._in_flight.values()))[0]
        self.connection.later(max(_WATCH_S, oldest.at + CONFIRM_TIMEOUT_S - time.monotonic()), self._fail_overdue)

    def _fail_overdue(self) -> None:
        self._watching = False
        limit = time.monotonic() - CONFIRM_TIMEOUT_S
        while self._in_flight:
            tag, oldest = next(iter(self._in_flight.items()))
            if oldest[0].at > limit:
                break
            del self._in_flight[tag]
            for pending in oldest:
                pending.settle(PublishUnconfirmed(f"the broker sent no confirm within {CONFIRM_TIMEOUT_S:.0f} s"))
        while self._waiting and self._waiting[0].at < limit:
            self._waiting.popleft().settle(
                BrokerUnavailable(f"not sent within {CONFIRM_TIMEOUT_S:.0f} s: the broker confirms no earlier messages")
            )
        self._watch()


def _batch(together: list[_Pending]) -> tuple[bytes, Any]:
    """Return the body and the properties of a batch with these messages. Its message id is that of the first."""
    first = together[0].properties
    parts = [BatchItem(p.properties.message_id, p.properties.correlation_id or "", p.body) for p in together]
    return pack(parts), pika.BasicProperties(
        message_id=first.message_id, reply_to=first.reply_to, delivery_mode=first.delivery_mode, content_type=BATCH
    )
