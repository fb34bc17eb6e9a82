"""Waking those who follow runs: event streams, and requests that wait for a run's end.

What happened is read from the database, by place or sequence number; schedulers only say on the
broker that there is something new. Such a word may be lost, or come before an older transaction ends
that hides what is newer: so followers look again by themselves after a while.
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

_LOOK_S = 2.0
"""How long a lost word can delay what a follower sees."""
_GATHER_S = 0.02
"""How long a word that concerns all runs waits for others: one look serves them all."""
_SETTLE_S = (0.05, 0.2, 0.75)
"""Looks after a word that concerned all runs, for what other transactions hid meanwhile."""


class Watch:
    """One follower's place and bell. ``close`` gives the place back."""

    def __init__(self, follower: "Follower", look_s: float, run_key: str | None) -> None:
        self._follower = follower
        self._look_s = look_s
        self._rung = threading.Event()
        self._settle: list[float] = []
        self.run_key = run_key
        """Only this run is of interest; ``None``: all."""

    def ring(self) -> None:
        """Say that there is something new."""
        self._rung.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until it is worth to look again, ``timeout_s`` at most.

        What rings between a return and the next call is not missed: the look after the return, and
        before that call, may or may not have seen it, so the call returns at once.
        """
        look_s = self._settle.pop(0) if self._settle else self._look_s
        if self._rung.wait(min(timeout_s, look_s)):
            if self.run_key is None:
                time.sleep(_GATHER_S)
                self._settle = list(_SETTLE_S)
            self._rung.clear()

    def close(self) -> None:
        """Give the place back."""
        self._follower.forget(self)


class Follower:
    """Gives places to followers, ``limit`` at once, and wakes them."""

    def __init__(self, transport: Transport, limit: int, *, look_s: float = _LOOK_S) -> None:
        self._transport = transport
        self._limit = limit
        self._look_s = look_s
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._listening = False

    def watch(self, run_key: str | None = None) -> Watch:
        """Take a place; raises a 503 when there is none."""
        watch = Watch(self, self._look_s, run_key)
        with self._lock:
            if len(self._watches) >= self._limit:
                raise Problem(
                    503, "service_unavailable", "Too many event streams are open here", headers={"Retry-After": "5"}
                )
            self._watches.add(watch)
            begin, self._listening = not self._listening, True
        if begin:
            self._transport.listen([CHANGES], self._heard)
        return watch

    def forget(self, watch: Watch) -> None:
        """Give up the place of ``watch``."""
        with self._lock:
            self._watches.discard(watch)

    def _heard(self, _topic: str, body: bytes) -> None:
        try:
            changed = decode_as(body, RunsChanged).run_keys
        except DecodeFailed as error:
            _log.warning("changes.unreadable", extra={"error": str(error)})
            changed = []
        with self._lock:
            for watch in self._watches:
                if not changed or watch.run_key is None or watch.run_key in changed:
                    watch.ring()
