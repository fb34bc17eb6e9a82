"""The server of the application inside ``dagway up``: waitress."""

import errno
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server
from waitress.task import WSGITask
from waitress.utilities import BadRequest

from services.api.serving.held_threads import MOST_SLOW_READERS, most_threads
from services.api.serving.places import Places
from services.api.serving.tls_hello import ADVICE, begins_tls
from shared.errors import ConfigInvalid
from shared.service import WatchedThread

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["EmbeddedServer"]

_log = logging.getLogger(__name__)
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_CHANNEL_TIMEOUT_S = 60
_STALL_S = 60.0
"""How long a client may read nothing while an answer waits for it. Waitress itself would wait for ever."""
_GRACE_S = 5
_EMBEDDED_CONNECTIONS = 500
"""Open connections, including idle ones. The default of waitress, 100, is too low for several browsers and scripts."""
_SPARE_CONNECTIONS = 20
"""With fewer left, a new connection ends the one that has waited longest for a whole request."""
_EMBEDDED_HEAD_BYTES = 32 * 1024
"""The URL and all headers of a request. The default of waitress is 256 KiB."""
_HELD_BYTES = 64 * 1024 * 1024
"""All bodies together, and so each of them: waitress keeps them in memory and in temporary files, also without a login.

The application has a much lower limit for each and returns 413 with a JSON body.
"""


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    def received(self, data: bytes) -> int:
        """Refuse a TLS handshake at once: waitress waits for the end of its headers, and the client for an answer.

        Refuse a long line between chunks too: waitress keeps it in memory, and copies it whenever more arrives.
        """
        if not self.header_plus and self.body_rcv is None and begins_tls(data):
            self.parse_header(b"GET / HTTP/1.0\r\n")
            self.error, self.completed = BadRequest(ADVICE), True
            return len(data)
        taken = int(super().received(data))
        between = self.body_rcv if self.chunked and not self.completed else None
        if between is not None and len(between.control_line) + len(between.trailer) >= _EMBEDDED_HEAD_BYTES:
            self.error, self.completed = BadRequest("What is between or after the chunks is too long"), True
        return taken

    def parse_header(self, header_plus: bytes) -> None:
        """Refuse a request with two lengths, as gunicorn does, chunks in an old one, and a URL that is none.

        A proxy that believes the other length would take the rest of the body for a request of another client.
        Letters of the URL that should be escaped are taken, as gunicorn and Dagu take them: curl sends such a query.
        """
        first, line_end, rest = header_plus.partition(b"\r\n")
        if not first.isascii():
            # Waitress would refuse the URL.
            header_plus = _NOT_ASCII.sub(lambda found: b"%%%02X" % ord(found[0]), first) + line_end + rest
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            # Waitress would log a traceback and close the connection without an answer.
            raise ParsingError("The URL is not valid") from error
        # Waitress answers 400 and closes the connection.
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding must not be used together")
        # Waitress ignores this header of an HTTP 1.0 request, and would take the chunks for the next request.
        if "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("A request of HTTP 1.0 must not have Transfer-Encoding")


class _Task(WSGITask):  # type: ignore[misc]
    """Answers one request. Head and body leave together: each packet costs a system call and wakes the client."""

    wrote_header: bool

    def write(self, data: bytes) -> None:
        """Send a part of the body, and before the first part the head."""
        if self.wrote_header or self.content_length != len(data) or not self.has_body:
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header = True
        self.content_bytes_written = len(data)


class _SlowReaders:
    """The connections whose requests wait until their client has taken more of the answer. Each one holds a thread.

    Only ``MOST_SLOW_READERS`` may wait at once: one more ends the connection that has waited longest, so that threads
    are left for other requests.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Channel, None] = {}
        self._lock = threading.Lock()

    @contextmanager
    def waits(self, channel: "_Channel") -> Iterator[None]:
        """Count a connection as one that waits."""
        with self._lock:
            if len(self._waiting) >= MOST_SLOW_READERS:
                longest = next(iter(self._waiting))
                del self._waiting[longest]
                longest.end()
            self._waiting[channel] = None
        try:
            yield
        finally:
            with self._lock:
                self._waiting.pop(channel, None)


class _Threads:
    """Starts a thread for each request that holds one for long, up to ``most_threads``, so that ``at_once`` are left.

    None ends before the server: a thread that was used takes 45 kB of memory.
    """

    def __init__(self, dispatcher: Any, at_once: int) -> None:
        self._dispatcher = dispatcher
        self._at_once = at_once
        self._lock = threading.Lock()
        self._count = at_once
        self._most = most_threads(at_once)
        self._held = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Count the calling thread as one that is held for long."""
        with self._lock:
            self._held += 1
            if self._count < min(self._at_once + self._held, self._most):
                self._count += 1
                self._dispatcher.set_thread_count(self._count)
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1

    def end(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` until the threads have ended. Starts no more."""
        with self._lock:
            self._most = 0
        self._dispatcher.shutdown(timeout=timeout_s)


class _Channel(HTTPChannel):  # type: ignore[misc]
    """One connection. It ends if its client reads nothing of an answer for ``stall_s``; see also ``_SlowReaders``.

    It also ends while it has no request, if others need its place.
    """

    parser_class = _Parser
    task_class = _Task

    def __init__(
        self, *args: Any, threads: _Threads, slow: _SlowReaders, stall_s: float, held_bytes: int, **options: Any
    ) -> None:
        self._threads = threads
        self._held_bytes = held_bytes
        self._slow = slow
        self._stall_s = stall_s
        self.waits_since = time.monotonic()
        """When it was opened, or when its latest request began to arrive or got a part of its answer."""
        self.ended = False
        super().__init__(*args, **options)
        self._make_room()

    def _make_room(self) -> None:
        others = [each for each in self.server.active_channels.values() if each is not self and not each.ended]
        if len(others) >= self.adj.connection_limit - _SPARE_CONNECTIONS:
            idle = [each for each in others if not each.requests and not each.total_outbufs_len]
            idle.sort(key=lambda each: each.waits_since)
            if longest := next(filter(_Channel.is_silent, idle), None):
                longest.end()

    def is_silent(self) -> bool:
        """Return whether there is nothing to read. The loop may not have seen yet what has just arrived."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def received(self, data: bytes) -> bool:
        """Take bytes of a request."""
        if self.request is None:
            self.waits_since = time.monotonic()
        taken = bool(super().received(data))
        if _body_bytes(self.request) and not self.ended:
            self._bound_bodies()
        return taken

    def _bound_bodies(self) -> None:
        """End the connection whose body has been arriving for longest, if all bodies together are too large."""
        others = [each for each in self.server.active_channels.values() if not each.ended]
        held = sum(_body_bytes(request) for each in others for request in (each.request, *each.requests))
        if held > self._held_bytes:
            min((each for each in others if _body_bytes(each.request)), key=lambda each: each.waits_since).end()

    def send_continue(self) -> None:
        """Ask for the body of a request, if it has one: waitress would wait for another, and give no answer."""
        if not self.request.completed:
            super().send_continue()

    def readable(self) -> bool:
        # The server's loop asks this of each connection, at least once a second.
        if self.total_outbufs_len and time.time() - self.last_activity > self._stall_s:
            self.end()
        # All were busy when they were opened: the server accepts none whose opening would make room.
        if self.server.in_connection_overflow:
            self._make_room()
        return bool(super().readable())

    def end(self) -> None:
        """Make the server's loop close the connection: a socket that was shut down is reported as hung up."""
        self.ended = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def write_soon(self, data: Any) -> Any:
        """Add to the answer. Waits while the client is far behind. Raises ``ClientDisconnected``."""
        self.waits_since = time.monotonic()
        if not self.total_outbufs_len:
            self.last_activity = time.time()  # until now the client had nothing to take
        if self.total_outbufs_len <= self.adj.outbuf_high_watermark:
            return super().write_soon(data)
        with self._threads.hold(), self._slow.waits(self):
            return super().write_soon(data)


def _body_bytes(request: HTTPRequestParser | None) -> int:
    """Return how much of the body of a request, if there is one, has arrived."""
    return len(request.body_rcv) if request is not None and request.body_rcv is not None else 0


class EmbeddedServer:
    """Waitress in a thread of this process.

    The constructor binds the port and sets ``port``; it raises ``ConfigInvalid`` if it cannot listen on the address.
    Requests are answered between ``start`` and ``stop``, ``threads`` of them at once. Those that hold a thread for
    long come on top (``held_threads``). ``on_death`` is called if a bug ends the server.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        host: str,
        port: int,
        *,
        threads: int = 8,
        stall_s: float = _STALL_S,
        on_death: Callable[[], None] = lambda: None,
        connections: int = _EMBEDDED_CONNECTIONS,
        held_bytes: int = _HELD_BYTES,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family)
        except OSError as error:
            # Python adds the address to the reason.
            reason = str(error.strerror).partition(" (while ")[0]
            advice = "; choose another with --port" if error.errno == errno.EADDRINUSE else ""
            raise ConfigInvalid(
                f"DAGWAY_HOST, DAGWAY_PORT: cannot listen on {host}, port {port}: {reason}{advice}"
            ) from error
        self.port: int = listening.getsockname()[1]
        self._sockets: dict[int, Any] = {}
        self._server = create_server(
            self._serve_request,
            map=self._sockets,
            sockets=[listening],
            threads=threads,
            max_request_body_size=held_bytes,
            max_request_header_size=_EMBEDDED_HEAD_BYTES,
            channel_timeout=_CHANNEL_TIMEOUT_S,
            connection_limit=connections,
            # The application itself knows how far to trust them.
            clear_untrusted_proxy_headers=False,
            asyncore_use_poll=True,  # select() knows no file number above 1023
            ident="dagway",
        )
        self._threads = _Threads(self._server.task_dispatcher, threads)
        # Each request that computes needs a connection to the database, and there are few more than ``threads``.
        self._with_place = Places(app, threading.BoundedSemaphore(threads), self._threads.hold)
        self._server.channel_class = partial(
            _Channel, threads=self._threads, slow=_SlowReaders(), stall_s=stall_s, held_bytes=held_bytes
        )
        self._thread = WatchedThread("api-server", self._serve, on_death)
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to answer requests."""
        self._thread.start()

    def stop(self, timeout_s: float = _GRACE_S) -> None:
        """Wait up to ``timeout_s`` until running requests are answered, then close all connections."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        # The close() of waitress waits until all connections end. Shutting down its tasks and sockets does not wait.
        self._threads.end(timeout_s)
        self._server.close()
        wasyncore.close_all(self._sockets)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _serve_request(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        return self._with_place(environ, start_response)

    def _serve(self) -> None:
        try:
            self._server.run()
        except Exception:
            # When ``stop`` closes the sockets, the loop fails, which is expected. At any other time it is an error.
            if not self._stopping.is_set():
                raise
