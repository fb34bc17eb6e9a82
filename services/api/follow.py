"""One poller per process for all event streams, and only while there are any.

A stream reads what it missed from the database itself, by place or sequence number; the poller only
says when there is something new. Schedulers that announce transitions on the broker make that at
once instead of within a poll.
"""

import logging
import threading

from services.api.problems import Problem
from shared.errors import StoreUnavailable
from shared.store.reads import Place, Reads
from shared.transport.base import Transport

__all__ = ["TOPIC", "Follower"]

_log = logging.getLogger(__name__)
TOPIC = "transitions"
_POLL_S = 0.5


class Follower:
    """Wakes streams. ``limit`` streams may be open at once."""

    def __init__(self, reads: Reads, transport: Transport, limit: int, closing: threading.Event) -> None:
        self._reads = reads
        self._transport = transport
        self._limit = limit
        self._closing = closing
        self._changed = threading.Condition()
        self._hint = threading.Event()
        self._streams = 0
        self._round = 0
        self._polling = False
        self._listening = False

    def take(self) -> None:
        """Take a place; raises a 503 when there is none."""
        with self._changed:
            if self._streams >= self._limit:
                raise Problem(
                    503, "service_unavailable", "Too many event streams are open here", headers={"Retry-After": "5"}
                )
            self._streams += 1
            if not self._polling:
                self._polling = True
                threading.Thread(target=self._poll, name="api-events", daemon=True).start()
            if not self._listening:
                self._listening = True
                self._transport.listen([TOPIC], lambda _topic, _body: self._hint.set())

    def leave(self) -> None:
        """Give the place back."""
        with self._changed:
            self._streams -= 1

    @property
    def round(self) -> int:
        """A number that grows whenever there is something new: to be asked before reading."""
        with self._changed:
            return self._round

    def wait(self, seen: int, timeout_s: float) -> bool:
        """Wait until the round is no longer ``seen``; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._round != seen, timeout_s)

    def _poll(self) -> None:
        known: Place | None = None
        while not self._closing.is_set():
            try:
                newest = self._reads.newest_place()
            except StoreUnavailable as error:
                _log.warning("events.wait_for_store", extra={"error": str(error)})
            else:
                if newest != known:
                    known = newest
                    self._wake()
            with self._changed:
                if self._streams <= 0:
                    self._polling = False
                    return
            self._hint.wait(_POLL_S)
            self._hint.clear()
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._round += 1
            self._changed.notify_all()
