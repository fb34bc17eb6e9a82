"""One connection to RabbitMQ, owned by one thread, made again whenever it is lost.

Guarantees:

* Only the link's thread touches pika. Others hand work over with ``call``: hand-overs run in order,
  and many of them wake the thread once. Where threads are greenlets, those beside it may ``hurry``: none of
  them loses its turn within pika.
* ``on_up`` runs on that thread after each (re)connect, ``on_down`` after each loss; work handed over
  while disconnected runs too, so it must look at its channel first.
* Reconnects are tried at once (50 ms) and then with full jitter up to 5 s.

Source: RabbitMQ "Connections" guide (a connection per purpose); full jitter after AWS Builders'
Library, "Timeouts, retries and backoff with jitter".
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop

from shared.errors import BrokerUnavailable, ConfigInvalid

__all__ = ["HEARTBEAT_S", "Connection", "parameters", "unavailable"]

HEARTBEAT_S = 10
"""The broker sends one each half of this; silence for 15 s closes the connection (pika adds 5 s)."""
_FIRST_RETRY_S = 0.05
_MAX_RETRY_S = 5.0
_CONNECT_TIMEOUT_S = 5.0
_TICK_S = 0.25
_CLOSE_TIMEOUT_S = 2.0

_log = logging.getLogger(__name__)


def unavailable(what: str, cause: object) -> BrokerUnavailable:
    """Return the error for something pika reported; the only translation of its errors."""
    return BrokerUnavailable(f"{what}: {_said(cause)}" if cause else what)


def _said(cause: object) -> str:
    """Return the text of what happened: pika wraps it in errors that have none."""
    inner: object = cause
    while isinstance(inner, BaseException) and not str(inner):
        held = [*getattr(inner, "exceptions", ())[-1:], getattr(inner, "exception", None), *inner.args]
        inner = next((each for each in held if isinstance(each, BaseException)), None)
    return str(inner) if inner is not None else repr(cause)


def parameters(url: str, name: str) -> Any:
    """Return pika's parameters for ``url`` (vhost, TLS and options as pika's URLParameters has them).

    Raises:
        ConfigInvalid: the URL cannot be read.
    """
    try:
        params = pika.URLParameters(url)
    except Exception as error:  # noqa: BLE001 - pika lets out whatever its parsing steps raise
        raise ConfigInvalid(f"broker URL cannot be read: {type(error).__name__}") from None
    if "heartbeat=" not in url:
        params.heartbeat = HEARTBEAT_S
    params.socket_timeout = params.stack_timeout = _CONNECT_TIMEOUT_S
    params.connection_attempts = 1
    params.client_properties = {"connection_name": name}
    return params


class Connection:
    """A connection that comes back by itself.

    ``on_tick`` runs on the link's thread about four times a second, connected or not.
    """

    def __init__(
        self,
        params: Any,
        name: str,
        *,
        on_up: Callable[[Any], None],
        on_down: Callable[[BrokerUnavailable], None],
        on_tick: Callable[[float], None] | None = None,
    ) -> None:
        self._params, self._name = params, name
        self._on_up, self._on_down, self._on_tick = on_up, on_down, on_tick
        self._loop = IOLoop()
        self._work: deque[Callable[[], None]] = deque()
        self._woken = False
        self._connection: Any = None
        self._open = False
        self._failures = 0
        self._closing = False
        self._bytes = -1
        self.up = threading.Event()
        """Set while connected."""
        self.heard_at = 0.0
        """When the broker was last heard of (monotonic)."""
        self.mended_at = 0.0
        """When the broker was heard again after a silence longer than its heartbeat (monotonic)."""
        self.reason: BrokerUnavailable = unavailable("not connected yet", None)
        self.tried = threading.Event()
        """Set once the first attempt has ended: the owner is ready, or there is no broker."""
        self._thread = threading.Thread(target=self._run, name=f"rabbit-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def call(self, work: Callable[[], None]) -> None:
        """Run ``work`` on the link's thread soon; from any thread, in order, never blocks."""
        self._work.append(work)
        if not self._woken:
            # A race here wakes twice, never not at all: the drain clears the flag before it looks.
            self._woken = True
            self._loop.add_callback_threadsafe(self._drain)

    def hurry(self) -> None:
        """Do what was handed over now, for a greenlet beside the link's own: that has its turn after all others."""
        if threading.get_native_id() == self._thread.native_id and threading.get_ident() != self._thread.ident:
            self._drain()

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        """Run ``work`` after ``delay_s``; on the link's thread only."""
        self._loop.call_later(delay_s, work)

    def ready(self) -> None:
        """Note that the owner's channels stand: only then does the backoff start over."""
        self._failures = 0
        self.tried.set()

    @property
    def connection(self) -> Any:
        """The open connection or ``None``; for the link's thread only."""
        return self._connection if self._open else None

    def drop(self, why: str) -> None:
        """Give the connection up and make a new one; on the link's thread only."""
        if self._open and self._connection.is_open:
            _log.warning("broker.dropped", extra={"link": self._name, "why": why})
            self._connection.close(reply_text=why[:200])

    def close(self, timeout_s: float = 5.0) -> None:
        """Close the connection and end the thread; work handed over before still runs."""
        if self._thread.ident is None or self._closing:
            return
        self.call(self._begin_close)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        self._connect()
        self._tick()
        while True:
            try:
                self._loop.start()
                break
            except Exception as error:  # noqa: BLE001 - logged, and the connection is made anew
                # From a pika callback: a bug, or a frame pika cannot read. The thread must go on.
                _log.exception("link.callback_failed", extra={"link": self._name})
                self.drop(f"callback failed: {error}")
        self._loop.close()

    def _drain(self) -> None:
        self._woken = False
        work = self._work
        while work:
            try:
                work.popleft()()
            except Exception as error:  # noqa: BLE001 - logged, and the connection is made anew
                # The thread must outlive any one job: a lost connection is reported by on_close, and
                # anything else is a bug that must be seen without deafening the whole process.
                if self._open and self._connection.is_open:
                    _log.exception("link.job_failed", extra={"link": self._name})
                    self.drop(f"job failed: {error}")
        if self._open:
            self._push()

    def _push(self) -> None:
        """Send what was just written, in one packet: pika would look for other work first, and send frame by frame."""
        transport = self._connection._transport  # noqa: SLF001 - pika has no other way
        written: Any = transport._tx_buffers if transport is not None else ()  # noqa: SLF001
        if len(written) > 1:
            frames = b"".join(written)
            written.clear()
            written.append(frames)
        if written:
            transport._on_socket_writable()  # noqa: SLF001 - as if it had looked: what cannot be sent yet stays

    def _tick(self) -> None:
        now = time.monotonic()
        if self._open and self._connection.bytes_received != self._bytes:
            self._bytes = self._connection.bytes_received
            if now - self.heard_at > HEARTBEAT_S:
                self.mended_at = now
            self.heard_at = now
        if self._on_tick is not None:
            self._on_tick(now)
        if not self._closing:
            self._loop.call_later(_TICK_S, self._tick)

    def _connect(self) -> None:
        if self._closing:
            return
        self._connection = pika.SelectConnection(
            self._params,
            on_open_callback=self._opened,
            on_open_error_callback=self._lost,
            on_close_callback=self._lost,
            custom_ioloop=self._loop,
        )

    def _opened(self, connection: Any) -> None:
        self._open = True
        self._bytes = -1
        self.heard_at = time.monotonic()
        if self._closing:
            connection.close()
            return
        _log.info("broker.connected", extra={"link": self._name})
        self.up.set()
        self._on_up(connection)

    def _lost(self, _connection: Any, error: object) -> None:
        was_open, self._open = self._open, False
        self.up.clear()
        where = f"{self._params.host}, port {self._params.port}"
        self.reason = unavailable(f"connection to {where} lost" if was_open else f"cannot connect to {where}", error)
        self.tried.set()
        if was_open:
            self._on_down(self.reason)
        if self._closing:
            self._loop.stop()
            return
        if self._failures == 0:
            _log.warning("broker.lost", extra={"link": self._name, "why": str(self.reason)})
        ceiling = min(_MAX_RETRY_S, _FIRST_RETRY_S * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        delay_s = random.uniform(_FIRST_RETRY_S / 2, ceiling)  # noqa: S311 - jitter, not a secret
        self._loop.call_later(delay_s, self._connect)

    def _begin_close(self) -> None:
        self._closing = True
        if self._open and self._connection.is_open:
            self._connection.close()
            # A broker that blocks us does not read our goodbye.
            self._loop.call_later(_CLOSE_TIMEOUT_S, self._loop.stop)
        elif not self._open:
            if not (self._connection.is_closing or self._connection.is_closed):
                # Half open: its socket would be left to the garbage collector.
                self._connection.close()
            self._loop.stop()
