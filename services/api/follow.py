"""Wakes requests that follow runs: event streams, and requests that wait for the end of a run.

Followers read the changes from the database. They query when a scheduler publishes that runs have changed, and they
also poll: a notification may be lost, or may arrive while an older open transaction still hides the newest changes.
"""

import logging
import threading
import time

from services.api.problems import Problem
from shared.contracts.codec import decode_as
from shared.contracts.control import CHANGES, RunsChanged
from shared.errors import DecodeFailed
from shared.transport.base import Transport

__all__ = ["Follower", "Watch"]

_log = logging.getLogger(__name__)

_POLL_S = 2.0
"""The polling interval: how long a lost notification can delay a follower."""
_GATHER_S = 0.02
"""How long a follower of all runs waits after a notification, so that one query covers several."""
_SETTLE_S = (0.05, 0.2, 0.75)
"""Intervals of further queries after a notification to followers of all runs: older transactions may hide changes."""


class Watch:
    """One follower. Counts against the limit of followers until ``close``."""

    def __init__(self, follower: "Follower", poll_s: float, run_key: str | None, *, only_end: bool) -> None:
        self._follower = follower
        self._poll_s = poll_s
        self._woken = threading.Event()
        self._settle: list[float] = []
        self.run_key = run_key
        """The run to follow, or ``None`` for all runs."""
        self._only_end = only_end

    def hear(self, changed: RunsChanged) -> None:
        """Make ``wait`` return, if the notification is about what this follower follows."""
        keys = changed.run_keys
        if self._only_end and keys and changed.ended is not None:
            keys = changed.ended
            if not keys:
                return
        if not keys or self.run_key is None or self.run_key in keys:
            self._woken.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until there may be changes, ``timeout_s`` at most.

        If a notification arrives between two calls, the second call returns immediately, because the query between
        them may have missed the change.
        """
        poll_s = self._settle.pop(0) if self._settle else self._poll_s
        if self._woken.wait(min(timeout_s, poll_s)):
            if self.run_key is None:
                time.sleep(_GATHER_S)
                self._settle = list(_SETTLE_S)
            self._woken.clear()

    def close(self) -> None:
        """Stop following."""
        self._follower.remove(self)


class Follower:
    """Wakes the followers when runs change. There are at most ``limit`` followers at a time."""

    def __init__(self, transport: Transport, limit: int, *, poll_s: float = _POLL_S) -> None:
        self._transport = transport
        self._limit = limit
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._listening = False

    def watch(self, run_key: str | None = None, *, only_end: bool = False) -> Watch:
        """Return a new follower of one run, or of all runs; with ``only_end``, of nothing but their end.

        Raises a 503 if the limit is reached.
        """
        watch = Watch(self, self._poll_s, run_key, only_end=only_end)
        with self._lock:
            if len(self._watches) >= self._limit:
                raise Problem(
                    503,
                    "service_unavailable",
                    "Too many event streams are open on this server",
                    headers={"Retry-After": "5"},
                )
            self._watches.add(watch)
            begin, self._listening = not self._listening, True
        if begin:
            self._transport.listen([CHANGES], self._on_change)
        return watch

    def remove(self, watch: Watch) -> None:
        """Remove a follower."""
        with self._lock:
            self._watches.discard(watch)

    def _on_change(self, _topic: str, body: bytes) -> None:
        try:
            changed = decode_as(body, RunsChanged)
        except DecodeFailed as error:
            _log.warning("changes.unreadable", extra={"error": str(error)})
            changed = RunsChanged()
        with self._lock:
            for watch in self._watches:
                watch.hear(changed)
