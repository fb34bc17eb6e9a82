"""A receiver of webhooks for tests: HTTP on loopback. It keeps the JSON body of every call."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

__all__ = ["WebhookReceiver"]


class WebhookReceiver:
    """Listens from ``__enter__`` to ``__exit__``, and accepts every call."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, Any]] = []
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with receiver._lock:
                    receiver._calls.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Do not log requests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="webhook-receiver", daemon=True)

    def url(self, path: str) -> str:
        """Return the URL of a path that begins with a slash."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def calls(self, path: str) -> list[Any]:
        """Return the bodies of all calls of a path so far, oldest first."""
        with self._lock:
            return [body for called, body in self._calls if called == path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
