"""A receiver of webhooks for tests: HTTP on loopback. It keeps the JSON body of every call."""

import json
import threading
from typing import Any

from tests.harness.loopback import Loopback, QuietHandler

__all__ = ["WebhookReceiver"]


class WebhookReceiver(Loopback):
    """Listens from ``__enter__`` to ``__exit__``, and accepts every call."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, Any]] = []
        self._lock = threading.Lock()
        receiver = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with receiver._lock:
                    receiver._calls.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        super().__init__(Handler)

    def url(self, path: str) -> str:
        """Return the URL of a path that begins with a slash."""
        return f"http://127.0.0.1:{self.port}{path}"

    def calls(self, path: str) -> list[Any]:
        """Return the bodies of all calls of a path so far, oldest first."""
        with self._lock:
            return [body for called, body in self._calls if called == path]
