"""The side door of a service: ``/metrics``, ``/healthz`` and ``/readyz`` on a port of their own.

``/healthz`` says that the process runs; it asks nobody, so that a database outage restarts nothing.
``/readyz`` says that it can do its work now.
"""

from collections.abc import Callable, Iterable
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["SideDoor"]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are no news."""


class SideDoor:
    """Serves on ``host:port`` from ``start`` to ``stop``; ``port`` 0 takes a free one."""

    def __init__(self, host: str, port: int, ready: Callable[[], bool]) -> None:
        metrics = make_wsgi_app()

        def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            match environ.get("PATH_INFO"):
                case "/metrics":
                    body: Iterable[bytes] = metrics(environ, start_response)
                    return body
                case "/healthz":
                    return answer(start_response, ok=True)
                case "/readyz":
                    return answer(start_response, ok=ready())
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]

        def answer(start_response: "StartResponse", *, ok: bool) -> Iterable[bytes]:
            start_response("200 OK" if ok else "503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"ok\n" if ok else b"not ready\n"]

        self._server: WSGIServer = make_server(host, port, app, handler_class=_Quiet)
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, name="side-door", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
