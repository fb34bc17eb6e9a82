"""A tap of the embedded transport; see ``shared.transport.base.Tap``."""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["EmbeddedTap"]

_log = logging.getLogger(__name__)


class EmbeddedTap:
    """Calls ``callback`` with each message, on a thread of its own. It has one session, until ``close``."""

    def __init__(self, name: str, callback: Callable[[bytes], None]) -> None:
        self.name, self.session = name, 1
        self._callback = callback
        self._inbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)
        self._thread.start()

    def put(self, body: bytes) -> None:
        """Pass a copy of a message to the thread."""
        self._inbox.put(body)

    def close(self) -> None:
        """End the thread."""
        self.session = 0
        self._inbox.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while (body := self._inbox.get()) is not None:
            try:
                self._callback(body)
            except Exception:  # noqa: BLE001 - logged
                # A failed callback must not stop the next message.
                _log.exception("heartbeats.callback_failed", extra={"broker_queue": self.name})
