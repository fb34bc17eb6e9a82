"""The admin server of a service: ``/metrics``, ``/healthz`` and ``/readyz`` on a port of their own.

``/healthz`` is the liveness probe: it answers 200 while the process runs. It does not check the database or the broker,
so their outage does not make Kubernetes restart the process. ``/readyz`` is the readiness probe: it answers 200 if the
process can do its work now, else 503 with the reason.
"""

from collections.abc import Callable, Iterable
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from shared.errors import ConfigInvalid

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["AdminServer", "admin_registry"]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Do not log scrapes."""


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

        def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            match environ.get("PATH_INFO"):
                case "/metrics":
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

        try:
            self._server: WSGIServer = make_server(host, port, app, handler_class=_Quiet)
        except OSError as error:
            raise ConfigInvalid(
                f"DAGWAY_HOST, DAGWAY_METRICS_PORT: cannot listen on {host}, port {port}: {error.strerror}"
            ) from error
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, name="admin-server", daemon=True)

    def add(self, collector: Collector) -> None:
        """Add a collector after the server has been created."""
        self._registry.register(collector)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
