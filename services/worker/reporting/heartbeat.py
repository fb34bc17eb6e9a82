"""Send heartbeats. One message renews the leases of all attempts of this worker."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from shared.contracts.codec import encode
from shared.contracts.events import Heartbeat
from shared.errors import Unavailable
from shared.ids import new_token
from shared.transport.base import HEARTBEATS, Outgoing, WorkerTransport

__all__ = ["HEARTBEATS_PER_LEASE", "HeartbeatSender"]

_log = logging.getLogger(__name__)
HEARTBEATS_PER_LEASE = 5
"""A lease expires when this many heartbeats in a row are lost."""
_LAST_CONFIRM_S = 2.0


class HeartbeatSender:
    """Sends heartbeats, ``HEARTBEATS_PER_LEASE`` in the time of one lease.

    ``make_heartbeat(stopped)`` returns the heartbeat to send; ``stopped`` is true for the last one.
    """

    def __init__(
        self, transport: WorkerTransport, lease_ttl_s: float, make_heartbeat: Callable[[bool], Heartbeat]
    ) -> None:
        self._transport = transport
        self._interval_s = lease_ttl_s / HEARTBEATS_PER_LEASE
        self._make_heartbeat = make_heartbeat
        self._stopping = threading.Event()
        self._healthy = True
        self._heard_at = -float("inf")
        """When the last heartbeat that the broker confirmed was sent (monotonic time)."""
        self._heard_for_s = lease_ttl_s / 2
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Send the first heartbeat immediately and start the thread that sends the others."""
        self._thread.start()

    @property
    def heard(self) -> bool:
        """Whether the broker has confirmed a heartbeat that was sent within the last half of a lease.

        If not, schedulers may count this worker as lost. The other half is the time in which the reports of what the
        worker has begun are recorded.
        """
        return time.monotonic() - self._heard_at < self._heard_for_s

    def stop(self) -> None:
        """Send the last heartbeat, which says that the worker has stopped."""
        self._stopping.set()
        if self._thread.ident is None:
            return
        self._thread.join()
        last = self._send(stopped=True)
        try:
            last.result(_LAST_CONFIRM_S)
        except (Unavailable, TimeoutError) as error:
            _log.warning("worker.stop_unconfirmed", extra={"error": str(error)})

    def _run(self) -> None:
        while True:
            self._send(stopped=False).add_done_callback(self._log_change)
            if self._stopping.wait(self._interval_s):
                return

    def _send(self, *, stopped: bool) -> "Future[None]":
        heartbeat = self._make_heartbeat(stopped)
        name = new_token()
        sent_at = time.monotonic()
        sent = self._transport.send(Outgoing(HEARTBEATS, encode(heartbeat, id=name, at=heartbeat.at), name))
        sent.add_done_callback(lambda done: self._note_heard(done, sent_at))
        return sent

    def _note_heard(self, sent: "Future[None]", sent_at: float) -> None:
        if not sent.cancelled() and sent.exception() is None:
            self._heard_at = max(self._heard_at, sent_at)

    def _log_change(self, sent: "Future[None]") -> None:
        healthy = not sent.cancelled() and sent.exception() is None
        if healthy != self._healthy:
            self._healthy = healthy
            _log.log(logging.INFO if healthy else logging.WARNING, "lease.renewed" if healthy else "lease.not_renewed")
