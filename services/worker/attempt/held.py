"""What this worker holds: the attempts it runs or has still to report."""

import threading
from collections import OrderedDict

from services.worker.process.outcome import StopKind
from services.worker.process.supervise import Stop

__all__ = ["Attempts"]

_REMEMBERED = 10_000
"""Tokens kept in mind: enough to outlast any copy of a task, or any task whose stop came first."""


class Attempts:
    """Thread-safe registry by token; its tokens are what the heartbeat renews."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[str, Stop] = {}
        self._unreported: set[str] = set()
        self._stopped_early: OrderedDict[str, StopKind] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()

    def begin(self, token: str) -> Stop | StopKind | None:
        """Take an attempt on: its stop handle, or why it must not start.

        ``None``: this worker runs it or ran it already, the task is a copy; a kind: a stop came
        before the task did.
        """
        with self._changed:
            if token in self._running or token in self._done:
                return None
            if (kind := self._stopped_early.get(token)) is not None:
                return kind
            stop = self._running[token] = Stop()
            return stop

    def end(self, token: str, *, reported: bool) -> None:
        """The attempt is over; not ``reported``: its report waits in the spool, so it is still held."""
        with self._changed:
            self._running.pop(token, None)
            if not reported:
                self._unreported.add(token)
            self._done[token] = None
            if len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
            self._changed.notify_all()

    def drop(self, token: str) -> None:
        """The attempt was taken on but could not be reported as started: it was never made."""
        with self._changed:
            self._running.pop(token, None)
            self._changed.notify_all()

    def delivered(self, token: str) -> None:
        """A report that had waited reached the broker."""
        with self._changed:
            self._unreported.discard(token)

    def stop(self, token: str, kind: StopKind) -> bool:
        """Ask one attempt to end; remember it when it is not here. Return whether it is."""
        with self._changed:
            stop = self._running.get(token)
            if stop is None and token in self._done:
                return False
            if stop is None:
                self._stopped_early[token] = kind
                self._stopped_early.move_to_end(token)
                while len(self._stopped_early) > _REMEMBERED:
                    self._stopped_early.popitem(last=False)
                return False
        stop.request(kind)
        return True

    def stop_all(self, kind: StopKind) -> None:
        with self._changed:
            stops = list(self._running.values())
        for stop in stops:
            stop.request(kind)

    def wait_idle(self, timeout_s: float | None) -> bool:
        """Wait until nothing runs; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout_s)

    def tokens(self) -> tuple[str, ...]:
        """Return every token held."""
        with self._changed:
            return (*self._running, *self._unreported)
