"""Hears the heartbeats of all workers, on a broker queue of this scheduler's own, and its own markers among them.

Hearing never waits for the database: while it is unavailable, the newest heartbeat of each worker is kept in memory.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from services.scheduler.liveness.hearing import Hearing
from services.scheduler.liveness.heartbeats import HeartbeatBuffer
from services.scheduler.metrics import HEARTBEATS_UNREADABLE
from shared.contracts.codec import decode
from shared.contracts.events import Heartbeat
from shared.contracts.markers import Marker
from shared.errors import DecodeFailed, SignatureRefused
from shared.transport.base import HEARD, HEARTBEATS, Transport
from shared.transport.signed import check_reporter

__all__ = ["HeartbeatListener", "heartbeat_queue"]

_log = logging.getLogger(__name__)
_AT_ONCE = 500
_TAKE_S = 30.0
_GATHER_S = 5.0
"""How long to gather messages of the common queue, so that they wake the process less often. They live for 10 s."""
_FEW = 50
"""After more messages at once the next ones are taken without a wait."""


def heartbeat_queue(instance_id: str) -> str:
    """Return the name of the broker queue on which a scheduler hears heartbeats. It exists as long as its session."""
    return f"{HEARD}{instance_id}"


class HeartbeatListener:
    """Passes heartbeats to ``hearing`` and ``buffer``. ``news`` is set when the buffer has a heartbeat with news.

    ``on_marker(sent_at, now_s)`` is called for each of this scheduler's markers that came back in time, and
    ``on_news()`` for each heartbeat with news.
    """

    def __init__(self, transport: Transport, clock: Callable[[], datetime], instance_id: str, hearing: Hearing) -> None:
        self._clock, self._instance_id, self._hearing = clock, instance_id, hearing
        self.buffer = HeartbeatBuffer()
        self.news = threading.Event()
        self.on_marker: Callable[[datetime, float], None] = lambda _sent_at, _now_s: None
        self.on_news: Callable[[], None] = lambda: None
        self._tap = transport.tap(HEARTBEATS, heartbeat_queue(instance_id), self._receive)
        # Every tap has a copy of each message; this queue gives each to one scheduler, which counts it if it is bad.
        self._shared = transport.consume([HEARTBEATS], prefetch=_AT_ONCE)

    @property
    def session(self) -> int:
        """The number of the present session at the broker; 0 while there is none."""
        return self._tap.session

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop."""
        self._shared.interrupt()

    def run(self, stop: threading.Event) -> None:
        """Count unreadable and refused messages until ``stop``; the body of a background thread."""
        while not stop.is_set():
            deliveries = self._shared.take(_AT_ONCE, _TAKE_S)
            for delivery in deliveries:
                try:
                    # Only checked: the tap has heard these workers already, and the messages are seconds old.
                    check_reporter(delivery, _read(delivery.body))
                except SignatureRefused:
                    pass  # it was counted, or the tap has received it
                except DecodeFailed as error:
                    _log.error("heartbeat.unreadable", extra={"error": str(error)})
                    HEARTBEATS_UNREADABLE.inc()
                delivery.ack()
            if len(deliveries) < _FEW:
                stop.wait(_GATHER_S)
        self._shared.close()

    def _receive(self, body: bytes) -> None:
        with suppress(DecodeFailed):
            self._note(_read(body))

    def _note(self, message: Heartbeat | Marker) -> None:
        if isinstance(message, Heartbeat):
            now = self._clock()
            self._hearing.hear(message, now)
            if self.buffer.hear(message, now):
                self.news.set()
                self.on_news()
        elif message.scheduler == self._instance_id:
            now_s = time.monotonic()
            sent_at = self._hearing.returned(message.number, now_s)
            if sent_at is not None:
                self.on_marker(sent_at, now_s)


def _read(body: bytes) -> Heartbeat | Marker:
    message = decode(body).body
    if not isinstance(message, Heartbeat | Marker):
        raise DecodeFailed(f"a message of type {message.type} is not a heartbeat")
    return message
