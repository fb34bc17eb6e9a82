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
from shared.service import WatchedThread
from shared.transport.base import HEARTBEATS, Outgoing, WorkerTransport

__all__ = ["HEARTBEATS_PER_LEASE", "HeartbeatSender", "pause_s"]

_log = logging.getLogger(__name__)
HEARTBEATS_PER_LEASE = 5
"""A lease expires when this many heartbeats in a row are lost."""
_IDLE_PAUSE_OF_LEASE = 0.4
"""In leases. Below the half of a lease after which a worker that was not heard asks before it begins a task, and at
least the longest gap in which schedulers may hear nothing without noticing: such a gap hides one heartbeat, not two."""
_LAST_CONFIRM_S = 2.0


def pause_s(lease_s: float, quiet_s: float) -> float:
    """Return how many seconds pass between two heartbeats of a worker that has had nothing to report for ``quiet_s``.

    After a whole lease of quiet they are half as many. Then the schedulers know that the worker holds no attempt, so
    nothing is lost if it dies.
    """
    return lease_s * _IDLE_PAUSE_OF_LEASE if quiet_s >= lease_s else lease_s / HEARTBEATS_PER_LEASE


class HeartbeatSender:
    """Sends heartbeats, ``HEARTBEATS_PER_LEASE`` in the time of one lease, and fewer while all is quiet (``pause_s``).

    ``make_heartbeat(stopped)`` returns the heartbeat to send; ``stopped`` is true for the last one.
    """

    def __init__(
        self,
        transport: WorkerTransport,
        lease_s: float,
        make_heartbeat: Callable[[bool], Heartbeat],
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._lease_s = lease_s
        self._make_heartbeat = make_heartbeat
        self._stopping = False
        self._awake = threading.Event()
        self._quiet_since = time.monotonic()
        """When there was last something to report, or a heartbeat that the broker did not accept."""
        self._healthy = True
        self._heard_at = -float("inf")
        """When the last heartbeat that the broker confirmed was sent (monotonic time)."""
        self._heard_for_s = lease_s / 2
        self._thread = WatchedThread("lease", self._run, on_death)

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

    def note_news(self) -> None:
        """Send heartbeats at the normal rate for a lease: there is something to report, such as an attempt."""
        before, self._quiet_since = self._quiet_since, time.monotonic()
        if self._quiet_since - before >= self._lease_s:
            self._awake.set()

    def stop(self) -> None:
        """Send the last heartbeat, which says that the worker has stopped."""
        self._stopping = True
        self._awake.set()
        if self._thread.ident is None:
            return
        self._thread.join()
        last = self._send(stopped=True)
        try:
            last.result(_LAST_CONFIRM_S)
        except (Unavailable, TimeoutError) as error:
            _log.warning("worker.stop_unconfirmed", extra={"error": str(error)})

    def _run(self) -> None:
        while not self._stopping:
            self._send(stopped=False).add_done_callback(self._log_change)
            due_s = time.monotonic() + self._pause_s()
            while (left_s := due_s - time.monotonic()) > 0 and not self._stopping:
                if self._awake.wait(left_s):
                    self._awake.clear()
                    due_s = min(due_s, time.monotonic() + self._pause_s())

    def _pause_s(self) -> float:
        return pause_s(self._lease_s, time.monotonic() - self._quiet_since)

    def _send(self, *, stopped: bool) -> "Future[None]":
        heartbeat = self._make_heartbeat(stopped)
        if heartbeat.tokens or heartbeat.kept:
            self._quiet_since = time.monotonic()
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
        if not healthy:
            # The next one must come soon after the worker is connected again.
            self.note_news()
        if healthy != self._healthy:
            self._healthy = healthy
            _log.log(logging.INFO if healthy else logging.WARNING, "lease.renewed" if healthy else "lease.not_renewed")
