"""One connection to RabbitMQ, used by one thread, which connects again whenever the connection is lost.

Guarantees:

* Only the connection's thread calls pika. Other threads pass functions to it with ``call``. The functions run in order,
  and many calls wake the thread only once. Where threads are greenlets, another greenlet of the same native thread may
  call ``run_now``, because pika's code never switches greenlets.
* ``on_up`` runs on the connection's thread after each connect, and ``on_down`` after each loss. A function passed while
  there is no connection runs too, so it must check its channel first.
* Where the URL names several hosts, the nodes of a cluster, the first try goes to a random one of them, so that clients
  spread over the nodes, and each further try to the next.
* Each host is tried after at most 50 ms; from the second round on, tries follow after a random time of up to 5 s.
* ``close`` leaves no socket open, whether the connection is open, is being opened or waits for the next try.

Source: RabbitMQ "Connections" guide (a connection per purpose); full jitter after AWS Builders'
Library, "Timeouts, retries and backoff with jitter".
"""

import logging
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pika

from shared.errors import BrokerUnavailable, ConfigInvalid
from shared.transport.rabbitmq.packet_loop import PacketLoop
from shared.transport.rabbitmq.properties import read_all_properties

__all__ = ["HEARTBEAT_S", "Connection", "LaterTry", "parameters", "unavailable"]

HEARTBEAT_S = 10
"""With 10 s, the broker sends a heartbeat every 5 s, and pika closes the connection after 15 s of silence."""
_FIRST_RETRY_S = 0.05
_MAX_RETRY_S = 5.0
_MAX_DOUBLINGS = 10
_CONNECT_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 2.0
_ABANDON_TIMEOUT_S = 0.5
_NO_THREAD = "can't start new thread"

_random = random.SystemRandom()

_log = logging.getLogger(__name__)


def unavailable(what: str, cause: object) -> BrokerUnavailable:
    """Return ``BrokerUnavailable`` with a text about what failed and why. All errors of pika are translated here."""
    return BrokerUnavailable(f"{what}: {_text_of(cause)}" if cause else what)


def _text_of(cause: object) -> str:
    """Return the text of the innermost error, because pika wraps errors in other errors without a text."""
    inner: object = cause
    while isinstance(inner, BaseException) and not str(inner):
        held = [*getattr(inner, "exceptions", ())[-1:], getattr(inner, "exception", None), *inner.args]
        inner = next((each for each in held if isinstance(each, BaseException)), None)
    return str(inner) if inner is not None else repr(cause)


def parameters(url: str, name: str) -> list[Any]:
    """Return pika's parameters for each host in ``url``, in the order of the URL.

    The URL may have several hosts with commas between them, a vhost, the options of ``pika.URLParameters``, and
    ``cacertfile``: a file of the authorities that ``amqps`` trusts instead of the system's.

    Raises:
        ConfigInvalid: the URL cannot be parsed.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    login, at, hosts = authority.rpartition("@")
    return [_parameters(f"{scheme}{separator}{login}{at}{host}{slash}{path}", host, name) for host in hosts.split(",")]


def _parameters(url: str, host: str, name: str) -> Any:
    try:
        if not host.strip():
            raise ValueError(host)
        url, authorities = _without_cacertfile(url)
        params = pika.URLParameters(url)
    except ConfigInvalid:
        raise
    except Exception as error:  # noqa: BLE001 - pika raises whatever its parsing steps raise
        raise ConfigInvalid(
            f"DAGWAY_AMQP_URL cannot be parsed ({type(error).__name__}): expected amqp://user:password@host:5672/vhost "
            "or, with several hosts, host1:5672,host2:5672"
        ) from None
    if authorities is not None:
        params.ssl_options = pika.SSLOptions(_trusting(authorities), params.host)
    if "heartbeat=" not in url:
        params.heartbeat = HEARTBEAT_S
    params.socket_timeout = params.stack_timeout = _CONNECT_TIMEOUT_S
    params.connection_attempts = 1
    params.client_properties = {"connection_name": name}
    return params


def _without_cacertfile(url: str) -> tuple[str, str | None]:
    """Return the URL without the option ``cacertfile``, which pika does not know, and the option's value."""
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    files = [value for name, value in options if name == "cacertfile"]
    if not files:
        return url, None
    if parts.scheme != "amqps":
        raise ConfigInvalid("DAGWAY_AMQP_URL: cacertfile needs amqps://, because amqp:// checks no certificate")
    rest = urlencode([each for each in options if each[0] != "cacertfile"])
    return parts._replace(query=rest).geturl(), files[-1]


def _trusting(authorities: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise ConfigInvalid(f"DAGWAY_AMQP_URL: cacertfile {authorities} cannot be read: {error}") from error


class LaterTry:
    """Runs ``work`` after a delay. While a run waits, another one is not added to it.

    What also opens after each lost connection would otherwise try once more in each round for each time that it did.
    """

    def __init__(self, connection: "Connection", work: Callable[[], None]) -> None:
        self._connection, self._work = connection, work
        self._waits = False

    def after(self, delay_s: float) -> None:
        """Run the work after ``delay_s``. Only the connection's thread may call this."""
        if not self._waits:
            self._waits = True
            self._connection.later(delay_s, self._run)

    def _run(self) -> None:
        self._waits = False
        self._work()


class Connection:
    """A connection to RabbitMQ that reconnects by itself, to any of the hosts of which ``params`` are the parameters.

    It wakes its thread only for what is sent or received, and for timers: an idle process should cost nothing.
    """

    def __init__(
        self,
        params: Sequence[Any],
        name: str,
        *,
        on_up: Callable[[Any], None],
        on_down: Callable[[BrokerUnavailable], None],
    ) -> None:
        self._hosts, self._name = params, name
        self._host = _random.randrange(len(params))
        self._on_up, self._on_down = on_up, on_down
        self._loop = PacketLoop(self._note_heard)
        self._work: deque[Callable[[], None]] = deque()
        self._woken = False
        self._connection: Any = None
        self._open = False
        self._failures = 0
        self._brief = 0
        """How many links in a row were ready and lost soon after."""
        self._ready_at: float | None = None
        self._dropped = False
        self._to_close = False
        self._closing = False
        self._bytes = -1
        self.up = threading.Event()
        """Set while the connection is open."""
        self.heard_at = 0.0
        """When the broker last sent something (monotonic time)."""
        self.mended_at = 0.0
        """When the last silence that was longer than ``HEARTBEAT_S`` ended (monotonic time)."""
        self.reason: BrokerUnavailable = unavailable("not connected yet", None)
        self.tried = threading.Event()
        """Set when the first try to connect has ended: the owner called ``ready``, or the connection failed."""
        self._thread = threading.Thread(target=self._run, name=f"rabbit-{name}", daemon=True)

    def start(self) -> None:
        read_all_properties()
        self._thread.start()

    def call(self, work: Callable[[], None]) -> None:
        """Let the connection's thread run ``work`` after earlier work. Any thread may call this; it never blocks."""
        self._work.append(work)
        if not self._woken:
            # A race here wakes the thread twice, never zero times: ``_drain`` clears the flag first.
            self._woken = True
            self._loop.add_callback_threadsafe(self._drain)

    def run_now(self) -> None:
        """Run the work passed so far, if the caller is another greenlet of the connection's own native thread.

        The connection's greenlet would run only after all other greenlets that are ready. For other callers do nothing.
        """
        if threading.get_native_id() == self._thread.native_id and threading.get_ident() != self._thread.ident:
            self._drain()

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        """Run ``work`` after ``delay_s``. Only the connection's thread may call this."""
        self._loop.call_later(delay_s, work)

    def ready(self) -> None:
        """Tell the connection that its owner's channels are open, so that the backoff starts from the beginning.

        It goes on if the link is lost soon: the broker may refuse the first message, and that of the next link too.
        """
        self._ready_at = time.monotonic()
        self._failures = self._brief
        self.tried.set()

    @property
    def pika(self) -> Any:
        """The open pika connection, or ``None``. Only the connection's thread may read it."""
        return self._connection if self._open else None

    def drop(self, why: str) -> None:
        """Close the connection, so that a new one is opened. Only the connection's thread may call this."""
        if self._open and self._connection.is_open:
            self._dropped = True
            _log.warning("broker.dropped", extra={"link": self._name, "why": why})
            self._connection.close(reply_text=why[:200])

    def begin_close(self) -> None:
        """Let the connection close, and do not wait for that. Work that was passed before still runs."""
        if self._thread.ident is not None and not self._to_close:
            self._to_close = True
            self.call(self._begin_close)

    def close(self, timeout_s: float = 5.0) -> None:
        """Close the connection and end the thread. Work that was passed before still runs."""
        self.begin_close()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        self._connect()
        while True:
            try:
                self._loop.start()
                break
            except Exception as error:  # noqa: BLE001 - logged, and the connection is made again
                if self._closing and not self._open:
                    break  # pika 1.4.4 raises when it has closed a connection that was being opened
                if not self._open and isinstance(error.__context__, OSError):
                    # The broker hung up as soon as it had accepted the connection. pika 1.4.4 raises this, and reports
                    # the failure to ``_lost`` when the time to connect is over.
                    continue
                if not self._open and str(error) == _NO_THREAD:
                    # pika looks up the address in a thread. If that cannot be started, pika reports no failure.
                    self._lost(self._connection, error)
                    continue
                # A callback of pika raised: a bug, or a frame that pika cannot parse. The thread must continue.
                _log.exception("link.callback_failed", extra={"link": self._name})
                self.drop(f"callback failed: {error}")
        self._loop.close()

    def _drain(self) -> None:
        self._woken = False
        work = self._work
        while work:
            try:
                work.popleft()()
            except Exception as error:  # noqa: BLE001 - logged, and the connection is made again
                # The thread must continue whatever the work raises. pika reports a lost connection to ``_lost``, so any
                # exception while the connection is open is a bug.
                if self._open and self._connection.is_open:
                    _log.exception("link.job_failed", extra={"link": self._name})
                    self.drop(f"job failed: {error}")
        self._loop.send_now()

    def _note_heard(self) -> None:
        """Note that the broker has sent something, if that is why the socket was readable."""
        if not self._open or self._connection.bytes_received == self._bytes:
            return
        now = time.monotonic()
        self._bytes = self._connection.bytes_received
        if now - self.heard_at > HEARTBEAT_S:
            self.mended_at = now
        self.heard_at = now

    def _connect(self) -> None:
        if self._closing:
            return
        self._connection = pika.SelectConnection(
            self._hosts[self._host],
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
        params = self._hosts[self._host]
        _log.info("broker.connected", extra={"link": self._name, "host": params.host, "port": params.port})
        self.up.set()
        self._on_up(connection)

    def _lost(self, _connection: Any, error: object) -> None:
        was_open, self._open = self._open, False
        self.up.clear()
        params = self._hosts[self._host]
        where = f"{params.host}, port {params.port}"
        self.reason = unavailable(f"connection to {where} lost" if was_open else f"cannot connect to {where}", error)
        self.tried.set()
        if was_open:
            self._on_down(self.reason)
        if self._closing:
            self._loop.stop()
            return
        ready_at, self._ready_at = self._ready_at, None
        if ready_at is not None:
            soon = time.monotonic() - ready_at < _MAX_RETRY_S
            self._failures = self._brief = self._brief + 1 if soon else 0
        dropped, self._dropped = self._dropped, False
        if not dropped and (self._failures == 0 or ready_at is not None):
            _log.warning("broker.lost", extra={"link": self._name, "error": str(self.reason)})
        self._host = (self._host + 1) % len(self._hosts)
        rounds = min(self._failures // len(self._hosts), _MAX_DOUBLINGS)
        ceiling = min(_MAX_RETRY_S, _FIRST_RETRY_S * 2**rounds)
        self._failures += 1
        delay_s = _random.uniform(_FIRST_RETRY_S / 2, ceiling)
        self._loop.call_later(delay_s, self._connect)

    def _begin_close(self) -> None:
        self._closing = True
        if self._connection.is_closed:
            # Between two attempts to connect.
            self._loop.stop()
            return
        if not self._connection.is_closing:
            self._connection.close()
        # The loop runs until pika has closed its socket: ``_lost`` stops it.
        self._loop.call_later(_CLOSE_TIMEOUT_S, self._abandon)

    def _abandon(self) -> None:
        """Stop waiting for a broker that does not answer the close, because it blocks publishers or hangs."""
        self._loop.shut_down()
        self._loop.call_later(_ABANDON_TIMEOUT_S, self._loop.stop)
