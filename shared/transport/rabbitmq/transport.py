"""The transport on RabbitMQ. It has two connections: one for publishing and one for consuming.

During a resource alarm the broker stops reading from connections that publish, but acknowledgements must still reach
it. Consuming begins only when publishing works: before that, a consumer could only give every message back, again and
again. Only this package imports pika.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

import pika

from shared.transport.base import NO_PRIORITIES, BrokerQueue, Consumer, DeadLetter, DeadLetterDecision, Outgoing, Tap
from shared.transport.pending_reply import PendingReply
from shared.transport.rabbitmq.admin import Admin
from shared.transport.rabbitmq.connection import Connection, LaterTry, parameters
from shared.transport.rabbitmq.consumer import OPEN_TIMEOUT_S, RabbitConsumer
from shared.transport.rabbitmq.dead_letter_pass import dead_properties
from shared.transport.rabbitmq.declaring import ignore_answer
from shared.transport.rabbitmq.delivery import RabbitDelivery, Settlement, Stored
from shared.transport.rabbitmq.publisher import Publisher
from shared.transport.rabbitmq.tap import RabbitTap
from shared.transport.topology import CONTROL_EXCHANGE, DEAD_QUEUE, HEADER_AGAIN

__all__ = ["RabbitTransport"]

_log = logging.getLogger(__name__)


class RabbitTransport:
    """Implements ``shared.transport.base.Transport``.

    The broker shows the connections under ``name``. The constructor also returns if the broker cannot be reached. The
    transport then keeps trying to connect, and sends fail with ``BrokerUnavailable`` until it is connected. For
    ``creates`` see ``open_transport``.

    Raises:
        ConfigInvalid: the URL cannot be parsed.
    """

    def __init__(self, url: str, *, name: str, creates: bool = True) -> None:
        self._creates = creates
        self._publisher = Publisher(
            parameters(url, f"{name} publishing"),
            name,
            creates=creates,
            on_ready=lambda: self._connection.call(self._consume),
        )
        self._admin = Admin(self._publisher)
        self._connection = Connection(
            parameters(url, f"{name} consuming"), f"{name}-consume", on_up=self._up, on_down=self._down
        )
        self._settlement = Settlement(self._publisher.reply, self._dead_letter, self._send_again)
        self._lock = threading.Lock()
        self._consumers: list[RabbitConsumer] = []
        self._listeners: list[_Listener] = []
        self._taps: list[RabbitTap] = []
        self._closed = False
        self._publisher.connection.start()
        self._connection.start()
        for connection in (self._publisher.connection, self._connection):
            connection.tried.wait(OPEN_TIMEOUT_S)

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        self._admin.declare(queues)

    def waiting(self, queue: BrokerQueue) -> int:
        return self._admin.waiting(queue)

    def send(self, message: Outgoing) -> "Future[None]":
        return self._publisher.send(message)

    def request(self, message: Outgoing) -> PendingReply:
        return self._publisher.request(message)

    def consume(
        self,
        queues: Sequence[BrokerQueue],
        *,
        prefetch: int,
        acks_wait_s: float = 0,
        priorities: Mapping[str, int] = NO_PRIORITIES,
    ) -> Consumer:
        consumer = RabbitConsumer(
            self._connection,
            self._settlement,
            self._forget,
            self._may_consume,
            creates=self._creates,
            prefetch=prefetch,
            acks_wait_s=acks_wait_s,
            priorities=priorities,
        )
        with self._lock:
            self._consumers = [*self._consumers, consumer]
        consumer.subscribe(queues)
        return consumer

    def broadcast(self, topic: str, body: bytes) -> None:
        self._publisher.broadcast(topic, body)

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        listener = _Listener(self._connection, lambda: self._publisher.ready, topics, callback)
        with self._lock:
            self._listeners = [*self._listeners, listener]
        listener.start()

    def tap(self, queue: BrokerQueue, name: str, callback: Callable[[bytes], None]) -> Tap:
        tap = RabbitTap(
            self._connection,
            queue,
            name,
            callback,
            may_open=lambda: self._publisher.ready,
            on_standing=self._consume,
        )
        with self._lock:
            self._taps = [*self._taps, tap]
        tap.start(OPEN_TIMEOUT_S)
        return tap

    def exists(self, name: str) -> bool:
        return self._admin.exists(name)

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        return self._admin.dead_letters(limit) if limit > 0 else []

    def settle_dead_letters(self, decide: Callable[[DeadLetter], DeadLetterDecision], limit: int) -> frozenset[str]:
        return self._admin.settle_dead_letters(decide, limit) if limit > 0 else frozenset()

    @property
    def blocked(self) -> bool:
        return self._publisher.blocked

    @property
    def one_program(self) -> bool:
        return False

    @property
    def healthy(self) -> bool:
        return self._publisher.healthy

    @property
    def forbidden(self) -> tuple[str, ...]:
        wanted = [one for consumer in self._consumers for one in consumer.subscriptions]
        return tuple(one.queue.name for one in wanted if one.forbidden)

    def close(self) -> None:
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        for consumer in list(self._consumers):
            consumer.close()
        # Both at once: a broker that does not answer would hold up each in turn.
        self._publisher.begin_close()
        self._connection.close()
        for listener in self._listeners:
            listener.close()
        for tap in self._taps:
            tap.close()
        self._publisher.close()

    def _may_consume(self) -> bool:
        return self._publisher.ready and all(tap.session for tap in self._taps)

    def _consume(self) -> None:
        for tap in self._taps:
            tap.open()
        for consumer in self._consumers:
            consumer.up()
        for listener in self._listeners:
            listener.open()

    def _up(self, _connection: Any) -> None:
        self._connection.ready()
        self._consume()

    def _down(self, _error: object) -> None:
        for consumer in self._consumers:
            consumer.down()
        for listener in self._listeners:
            listener.down()
        for tap in self._taps:
            tap.down()

    def _forget(self, consumer: RabbitConsumer) -> None:
        with self._lock:
            self._consumers = [other for other in self._consumers if other is not consumer]

    def _dead_letter(self, delivery: RabbitDelivery, why: str, stored: Stored) -> None:
        properties = dead_properties(delivery.queue, delivery.message_id, why)
        done = self._publisher.send_raw(DEAD_QUEUE, delivery.body, properties)
        done.add_done_callback(lambda outcome: stored(outcome.exception() is None))

    def _send_again(self, delivery: RabbitDelivery, stored: Stored) -> None:
        reply_to, correlation_id = delivery.reply_address
        properties = pika.BasicProperties(
            message_id=delivery.message_id,
            correlation_id=correlation_id or None,
            reply_to=reply_to or None,
            delivery_mode=2,
            headers={HEADER_AGAIN: True},
        )
        done = self._publisher.send_raw(delivery.queue.name, delivery.body, properties)
        done.add_done_callback(lambda outcome: stored(outcome.exception() is None))


class _Listener:
    """An exclusive queue that is bound to topics, and a thread that calls the callback for each message.

    The queue is declared again after each reconnect. ``may_open`` tells whether publishing works, and so whether the
    exchange exists.
    """

    def __init__(
        self,
        connection: Connection,
        may_open: Callable[[], bool],
        topics: Sequence[str],
        callback: Callable[[str, bytes], None],
    ) -> None:
        self._connection, self._may_open = connection, may_open
        self._topics, self._callback = list(topics), callback
        self._inbox: SimpleQueue[tuple[str, bytes] | None] = SimpleQueue()
        self._standing = threading.Event()
        self._retry = LaterTry(connection, self.open)
        self._waits = False
        self._channel: Any = None
        self._thread = threading.Thread(target=self._run, name="rabbit-listen", daemon=True)

    def start(self) -> None:
        """Start to listen. If the broker is connected, wait until the queue is bound, for at most 5 s."""
        self._thread.start()
        self._connection.call(self.open)
        if self._connection.up.is_set():
            self._standing.wait(OPEN_TIMEOUT_S)

    def open(self) -> None:
        connection = self._connection.pika
        if connection is not None and connection.is_open and self._channel is None and self._may_open():
            self._channel = connection.channel(on_open_callback=self._opened)
            self._channel.add_on_close_callback(self._channel_closed)

    def down(self) -> None:
        self._channel = None

    def close(self) -> None:
        self._inbox.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(OPEN_TIMEOUT_S)

    def _opened(self, channel: Any) -> None:
        channel.add_on_cancel_callback(lambda _frame: channel.close())
        channel.queue_declare("", exclusive=True, auto_delete=True, callback=self._declared)

    def _declared(self, frame: Any) -> None:
        channel, name = self._channel, frame.method.queue
        for topic in self._topics:
            channel.queue_bind(name, CONTROL_EXCHANGE, routing_key=topic, callback=ignore_answer)
        channel.basic_consume(name, self._received, auto_ack=True, callback=self._listening)

    def _listening(self, _frame: Any) -> None:
        self._waits = False
        self._standing.set()

    def _channel_closed(self, channel: Any, reason: object) -> None:
        if channel is self._channel:
            self._channel = None
            if channel.connection.is_open:
                if not self._waits:
                    # Each try has a queue with another name, so the lines of two tries are not equal.
                    self._waits = True
                    _log.warning("listener.interrupted", extra={"error": str(reason)})
                self._retry.after(1.0)

    def _received(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        self._inbox.put((method.routing_key, body))

    def _run(self) -> None:
        while (received := self._inbox.get()) is not None:
            try:
                self._callback(*received)
            except Exception:  # noqa: BLE001 - logged
                # A failed callback must not stop the next broadcast.
                _log.exception("listener.callback_failed", extra={"topic": received[0]})
