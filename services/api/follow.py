"""Wakes requests that follow runs: event streams, and requests that wait for a run's end.

Followers read the changes from the database, by position or sequence number. Schedulers publish a notification
that runs have changed. A notification may be lost, or arrive while an older transaction is still open that hides
newer changes: so followers also poll.
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
"""How long a follower of all runs gathers notifications, so that one query serves them all."""
_SETTLE_S = (0.05, 0.2, 0.75)
"""Intervals of the queries after a notification to followers of all runs: for changes that open transactions hid."""


class Watch:
    """One follower. It counts against the limit until ``close``."""

    def __init__(self, follower: "Follower", poll_s: float, run_key: str | None) -> None:
        self._follower = follower
        self._poll_s = poll_s
        self._woken = threading.Event()
        self._settle: list[float] = []
        self.run_key = run_key
        """Follow only this run; ``None``: all runs."""

    def wake(self) -> None:
        """Wake the follower."""
        self._woken.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until there may be changes, ``timeout_s`` at most.

        A notification between a return and the next call is not missed: the follower's query in between may or may
        not have seen the change, so that next call returns at once.
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
    """Wakes the followers, at most ``limit`` at once."""

    def __init__(self, transport: Transport, limit: int, *, poll_s: float = _POLL_S) -> None:
        self._transport = transport
        self._limit = limit
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._listening = False

    def watch(self, run_key: str | None = None) -> Watch:
        """Start following; raises a 503 beyond the limit."""
        watch = Watch(self, self._poll_s, run_key)
        with self._lock:
            if len(self._watches) >= self._limit:
                raise Problem(
                    503, "service_unavailable", "Too many event streams are open here", headers={"Retry-After": "5"}
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
            changed = decode_as(body, RunsChanged).run_keys
        except DecodeFailed as error:
            _log.warning("changes.unreadable", extra={"error": str(error)})
            changed = []
        with self._lock:
            for watch in self._watches:
                if not changed or watch.run_key is None or watch.run_key in changed:
                    watch.wake()
