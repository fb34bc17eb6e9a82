"""Renew the lease of everything this worker holds: one heartbeat message for all."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from shared.contracts.codec import encode
from shared.contracts.events import Heartbeat
from shared.errors import Unavailable
from shared.ids import new_token
from shared.transport.base import HEARTBEATS, Outgoing, Transport

__all__ = ["BEATS_PER_LEASE", "Lease"]

_log = logging.getLogger(__name__)
BEATS_PER_LEASE = 5
"""Four heartbeats in a row may be lost before a lease runs out."""
_LAST_WORD_S = 2.0


class Lease:
    """Beats every fifth of the lease. ``describe(stopped)`` makes the heartbeat of the moment."""

    def __init__(self, transport: Transport, lease_ttl_s: float, describe: Callable[[bool], Heartbeat]) -> None:
        self._transport = transport
        self._interval_s = lease_ttl_s / BEATS_PER_LEASE
        self._describe = describe
        self._stopping = threading.Event()
        self._healthy = True
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Beat at once and from then on."""
        self._thread.start()

    def stop(self) -> None:
        """Beat a last time, saying that the worker will not come back."""
        self._stopping.set()
        if self._thread.ident is None:
            return
        self._thread.join()
        last = self._beat(stopped=True)
        try:
            last.result(_LAST_WORD_S)
        except (Unavailable, TimeoutError) as error:
            _log.warning("lease.last_word_lost", extra={"error": str(error)})

    def _run(self) -> None:
        while True:
            self._beat(stopped=False).add_done_callback(self._note)
            if self._stopping.wait(self._interval_s):
                return

    def _beat(self, *, stopped: bool) -> "Future[None]":
        beat = self._describe(stopped)
        name = new_token()
        return self._transport.send(Outgoing(HEARTBEATS, encode(beat, id=name, at=beat.at), name))

    def _note(self, sent: "Future[None]") -> None:
        healthy = not sent.cancelled() and sent.exception() is None
        if healthy != self._healthy:
            self._healthy = healthy
            _log.log(logging.INFO if healthy else logging.WARNING, "lease.renewed" if healthy else "lease.not_renewed")
