"""A tap: an exclusive queue that is bound beside the broker queue whose messages it copies.

The broker deletes an exclusive queue together with its connection. So another process can tell from the queue whether
the broker still counts this process's deliveries as unsettled. A process that reconnects before the broker has noticed
the loss of its old connection waits until the old queue is gone.
"""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from shared.transport.base import BrokerQueue
from shared.transport.rabbitmq.connection import Connection, LaterTry
from shared.transport.rabbitmq.declaring import ignore_answer
from shared.transport.topology import TAP_ARGUMENTS

__all__ = ["RabbitTap"]

_log = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 5.0
_RETRY_S = 0.5


class RabbitTap:
    """Implements ``shared.transport.base.Tap``. ``on_standing`` runs on the connection's thread at each new session."""

    def __init__(
        self,
        connection: Connection,
        queue: BrokerQueue,
        name: str,
        callback: Callable[[bytes], None],
        *,
        may_open: Callable[[], bool],
        on_standing: Callable[[], None],
    ) -> None:
        self._connection, self._queue, self._name = connection, queue, name
        self._callback, self._may_open, self._on_standing = callback, may_open, on_standing
        self._inbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._sessions = 0
        self._session = 0
        self._channel: Any = None
        self._waits = False
        self._retry = LaterTry(connection, self.open)
        self.standing = threading.Event()
        """Set when the first session has begun."""
        self._thread = threading.Thread(target=self._run, name="rabbit-tap", daemon=True)

    @property
    def session(self) -> int:
        return self._session

    def start(self, timeout_s: float) -> None:
        """Open the tap. If the broker is connected, wait until the first session has begun."""
        self._thread.start()
        self._connection.call(self.open)
        if self._connection.up.is_set():
            self.standing.wait(timeout_s)

    def open(self) -> None:
        """Open the channel and declare the queue. Runs on the connection's thread, again after each lost connection."""
        connection = self._connection.pika
        if connection is None or not connection.is_open or self._channel is not None or not self._may_open():
            return
        self._channel = connection.channel(on_open_callback=self._opened)
        self._channel.add_on_close_callback(self._channel_closed)

    def down(self) -> None:
        """Reset the state, because the connection was lost."""
        self._channel = None
        self._session = 0

    def close(self) -> None:
        """End the thread."""
        self._inbox.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_TIMEOUT_S)

    def _opened(self, channel: Any) -> None:
        channel.add_on_cancel_callback(lambda _frame: channel.close())
        channel.queue_declare(self._name, exclusive=True, arguments=TAP_ARGUMENTS, callback=ignore_answer)
        for key in (self._queue.name, self._name):
            channel.queue_bind(self._name, self._queue.exchange, routing_key=key, callback=ignore_answer)
        channel.basic_consume(self._name, self._received, auto_ack=True, callback=self._consuming)

    def _consuming(self, _frame: Any) -> None:
        self._sessions += 1
        self._session = self._sessions
        self._waits = False
        self.standing.set()
        self._on_standing()

    def _channel_closed(self, channel: Any, reason: object) -> None:
        if channel is not self._channel or not channel.connection.is_open:
            return
        if self._session:
            # Somebody deleted the queue. Consumers must not go on without it.
            self._connection.drop(f"tap closed: {reason}")
            return
        self._channel = None
        if not self._waits:
            self._waits = True
            _log.warning("heartbeats.interrupted", extra={"broker_queue": self._name, "error": str(reason)})
        self._retry.after(_RETRY_S)

    def _received(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        self._inbox.put(body)

    def _run(self) -> None:
        while (body := self._inbox.get()) is not None:
            try:
                self._callback(body)
            except Exception:  # noqa: BLE001 - logged
                # A failed callback must not stop the next message.
                _log.exception("heartbeats.callback_failed", extra={"broker_queue": self._name})
