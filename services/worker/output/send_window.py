"""How many chunks of a stream may be sent before the first is confirmed.

The broker writes chunks that arrive together to disk together: the more may be on their way, the fewer the writes. Each
takes about 150 KB of memory, as bytes and as a message. So all logs of a worker share one allowance (``SHARED``), but
each stream has at least ``LEAST``.
"""

import threading

__all__ = ["LEAST", "SHARED", "SendWindow"]

LEAST = 4
SHARED = 32


class SendWindow:
    """The window of all logs of a worker. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs = 0

    def enter(self) -> None:
        """Count one more attempt that sends its logs."""
        with self._lock:
            self._logs += 1

    def leave(self) -> None:
        """Count one attempt less."""
        with self._lock:
            self._logs -= 1

    @property
    def chunks(self) -> int:
        """How many chunks of each stream may be unconfirmed now."""
        return max(LEAST, SHARED // max(self._logs, 1))
