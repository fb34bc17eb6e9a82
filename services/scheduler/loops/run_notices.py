"""Tells gateways which runs have changed, so that their followers query the database.

The end of a run is announced at once, because a request may wait for it. Other changes are collected for up to 100 ms,
so that several steps of a chain cost the broker and each gateway one message. A notice may be lost: the followers also
poll.
"""

import threading
from collections.abc import Callable
from datetime import datetime

from services.scheduler.deciding.post_commit import PostCommit
from shared.contracts.codec import encode
from shared.contracts.control import CHANGES, RunsChanged
from shared.ids import new_run_id
from shared.transport.base import Transport

__all__ = ["RunNotices"]

_GATHER_S = 0.1
_MOST_NAMED = 100
"""The most runs that one ``RunsChanged`` names. If more changed, it names none."""


class RunNotices:
    """Gathers the changes of committed transactions and broadcasts them. Thread-safe."""

    def __init__(self, transport: Transport, clock: Callable[[], datetime]) -> None:
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._ended: set[str] = set()
        self._awake = threading.Event()
        """Set while changes wait."""

    def follow(self, after: PostCommit) -> None:
        if not after.changed:
            return
        with self._lock:
            self._changed |= after.changed
            self._ended.update(run.run_key for run in after.ended)
        if after.ended:
            self.tell()
        else:
            self._awake.set()

    def tell(self) -> None:
        """Broadcast all changes that wait, if any."""
        with self._lock:
            changed, self._changed = self._changed, set()
            ended, self._ended = self._ended, set()
        if changed:
            some = len(changed) <= _MOST_NAMED
            notice = RunsChanged(run_keys=sorted(changed) if some else [], ended=sorted(ended) if some else [])
            self._transport.broadcast(CHANGES, encode(notice, id=new_run_id(), at=self._clock()))

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop."""
        self._awake.set()

    def run(self, stop: threading.Event) -> None:
        """Broadcast the changes that have waited, until ``stop``; the body of a background thread."""
        while not stop.is_set():
            self._awake.wait()
            stop.wait(_GATHER_S)
            # Cleared first: a change that comes now wakes the thread again.
            self._awake.clear()
            self.tell()
