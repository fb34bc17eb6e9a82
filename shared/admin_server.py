"""The admin server of a service: ``/metrics``, ``/healthz`` and ``/readyz`` on a port of their own.

``/healthz`` is the liveness probe: it answers 200 while the process runs. It does not check the database or the broker,
so their outage does not make Kubernetes restart the process. ``/readyz`` is the readiness probe: it answers 200 if the
process can do its work now, else 503 with the reason.

Anyone who can connect may hold connections open, and the steps of a worker can connect to its own. So each connection
has a thread and little time, and new connections displace old ones: a probe is answered in any case.
"""

import contextlib
import logging
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from shared.errors import ConfigInvalid

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["AdminServer", "admin_registry"]

_log = logging.getLogger(__name__)
_TIMEOUT_S = 5.0
"""How long a request may take to arrive, and its response to be taken."""
_MOST_CONNECTIONS = 32
_LOOK_S = 0.5
"""How often to check for overdue requests."""


class _Handler(WSGIRequestHandler):
    timeout = _TIMEOUT_S
    server: "_Server"

    def parse_request(self) -> bool:
        """Note that the request has arrived: from now on it is not the client that we wait for."""
        arrived = super().parse_request()
        self.server.arrived(self.connection)
        return arrived

    def log_message(self, format: str, *args: object) -> None:
        """Do not log scrapes."""


class _Server(ThreadingMixIn, WSGIServer):
    """Serves each connection in a thread of its own, a limited number of connections at once."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = _MOST_CONNECTIONS
    timeout = 0
    """``handle_request`` does not wait: a connection may be gone by then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open: dict[socket.socket, float] = {}
        """The open connections, the oldest first, and the monotonic time by which the request must have arrived."""
        self._lock = Lock()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection. If there are too many, first end one that has sent no request, or any."""
        with self._lock:
            if len(self._open) >= _MOST_CONNECTIONS:
                silent = (each for each, by in self._open.items() if by < float("inf"))
                self._end(next(silent, next(iter(self._open))))
            self._open[request] = time.monotonic() + _TIMEOUT_S
        super().process_request(request, client_address)

    def arrived(self, request: socket.socket) -> None:
        """Note that the connection's request has arrived."""
        with self._lock:
            if request in self._open:
                self._open[request] = float("inf")

    def service_actions(self) -> None:
        """End the connections whose requests are overdue. To be called twice a second while ``waits_for_requests``.

        The timeout of a socket counts from its last byte, so it does not end a client that sends one every second.
        """
        now = time.monotonic()
        with self._lock:
            for connection in [each for each, by in self._open.items() if by < now]:
                self._end(connection)

    @property
    def waits_for_requests(self) -> bool:
        """Whether there are connections whose requests may become overdue."""
        return any(by < float("inf") for by in list(self._open.values()))

    def close_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature is socketserver's
        """Log a broken answer; that a client went away or was too slow is no error."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("admin_server.broken")

    def _end(self, connection: socket.socket) -> None:
        """Make the thread that waits for a connection see its end. The thread closes it."""
        del self._open[connection]
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class _ServerOfIPv6(_Server):
    address_family = socket.AF_INET6


def admin_registry(collectors: Iterable[Collector]) -> CollectorRegistry:
    """Return a registry with the process's own counters and with ``collectors``."""
    registry = CollectorRegistry()
    registry.register(REGISTRY)
    for collector in collectors:
        registry.register(collector)
    return registry


class AdminServer:
    """Listens on ``host:port`` from ``start`` until ``stop``. With ``port`` 0 it chooses a free port.

    ``trouble`` returns why the service cannot do its work, or an empty text if it can. ``collectors`` run at each
    scrape. If a collector raises, the scrape fails, which a monitoring system notices.

    Raises:
        ConfigInvalid: the process cannot listen on this address.
    """

    def __init__(self, host: str, port: int, trouble: Callable[[], str], collectors: Iterable[Collector] = ()) -> None:
        self._registry = admin_registry(collectors)
        metrics = make_wsgi_app(self._registry)
        collecting = Lock()  # collectors need not be safe in several threads

        def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            match environ.get("PATH_INFO"):
                case "/metrics":
                    with collecting:
                        body: Iterable[bytes] = metrics(environ, start_response)
                    return body
                case "/healthz":
                    return answer(start_response, "")
                case "/readyz":
                    return answer(start_response, trouble())
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]

        def answer(start_response: "StartResponse", why: str) -> Iterable[bytes]:
            headers = [("Content-Type", "text/plain; charset=utf-8")]
            start_response("503 Service Unavailable" if why else "200 OK", headers)
            return [f"not ready: {why}\n".encode() if why else b"ok\n"]

        server_class = _ServerOfIPv6 if ":" in host else _Server
        try:
            self._server = make_server(host, port, app, server_class=server_class, handler_class=_Handler)
        except OSError as error:
            raise ConfigInvalid(
                f"DAGWAY_HOST, DAGWAY_METRICS_PORT: cannot listen on {host}, port {port}: {error.strerror}"
            ) from error
        self.port = self._server.server_port
        self._woken, self._wake = socket.socketpair()
        self._thread = Thread(target=self._serve, name="admin-server", daemon=True)

    def add(self, collector: Collector) -> None:
        """Add a collector after the server has been created."""
        self._registry.register(collector)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._wake.close()
        self._thread.join()
        self._woken.close()
        self._server.server_close()

    def _serve(self) -> None:
        # ``serve_forever`` would wake the process twice a second, whether there are connections or not.
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            selector.register(self._server, selectors.EVENT_READ)
            while True:
                ready = selector.select(_LOOK_S if self._server.waits_for_requests else None)
                if any(key.fileobj is self._woken for key, _ in ready):
                    return
                if ready:
                    self._server.handle_request()
                self._server.service_actions()
