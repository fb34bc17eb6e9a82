"""The request to end an attempt, and why it is ended."""

import threading
from collections.abc import Callable
from enum import StrEnum

__all__ = ["StopKind", "StopRequest"]


class StopKind(StrEnum):
    """Why an attempt is ended from outside. Ordered: a later member overrides an earlier one."""

    DISK = "disk"
    STOP = "stop"
    SHUTDOWN = "shutdown"
    REVOKED = "revoked"


_RANK = list(StopKind)


class StopRequest:
    """Holds the request to end one attempt, if there is one yet. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kind: StopKind | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def kind(self) -> StopKind | None:
        """The strongest kind requested so far, or ``None`` without a request."""
        return self._kind

    def request(self, kind: StopKind) -> None:
        """Request the end of the attempt. Only a kind stronger than the current kind has an effect."""
        with self._lock:
            if self._kind is not None and _RANK.index(kind) <= _RANK.index(self._kind):
                return
            self._kind = kind
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` each time the end of the step is requested; now too, if that has happened before."""
        with self._lock:
            self._listeners.append(listener)
            requested = self._kind is not None
        if requested:
            listener()

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop calling ``listener``."""
        with self._lock:
            self._listeners.remove(listener)
