"""The worker, composed: it talks to the broker only and keeps no state that is not reported.

Stop order: intake, running attempts, logs and reports, the last heartbeat, the guardian.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from services.worker.attempt.held import Attempts
from services.worker.attempt.pipeline import Identity, Pipeline
from services.worker.attempt.runner import Maker
from services.worker.attempt.spans import AttemptSpans
from services.worker.control import Control, topics
from services.worker.executors.capabilities import able_types
from services.worker.inputs.workspace import Places
from services.worker.intake import Intake, KnownRoutes
from services.worker.output.log_shipper import LogShipper
from services.worker.process.guardian_client import Guardian
from services.worker.process.outcome import StopKind
from services.worker.reporting.heartbeat import Lease
from services.worker.reporting.metrics import Counters
from services.worker.reporting.reports import Reporter
from shared.clock import utc_now
from shared.contracts.events import Heartbeat
from shared.disk import DiskCheck
from shared.errors import Unavailable
from shared.ids import new_token
from shared.transport.base import EVENTS, HEARTBEATS, LOGS, Transport

__all__ = ["Worker"]

_log = logging.getLogger(__name__)
_SHUTDOWN_S = 30.0
"""How long ended attempts may take to report before the process leaves without them."""


class Worker:
    """A worker inside this process. Installs no signal handlers; the transport stays the caller's.

    ``data_dir`` must be this worker's own. Where it has the dags' files (``dags_dir``), steps work beside
    them. ``failed`` is set, and then ``on_failure`` called, when the guardian is lost: the process must
    end with a code other than 0, since it can neither start nor watch steps.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        worker_id: str,
        slots: int,
        data_dir: Path,
        dags_dir: Path | None = None,
        labels: Mapping[str, str] | None = None,
        lease_ttl_s: float = 10,
        version: str = "",
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.counters = Counters()
        self.failed = threading.Event()
        self.incarnation = new_token()
        self.attempts = Attempts()
        self._on_failure = on_failure
        self._worker_id = worker_id
        self._slots = slots
        self._labels = dict(labels or {})
        self._version = version
        self._started_at: datetime = utc_now()
        self._draining = False
        self._stopped = False
        self._running = False
        self._transport = transport
        data_dir = data_dir.resolve()
        data_dir.mkdir(0o750, parents=True, exist_ok=True)
        self._room = DiskCheck(data_dir)
        places = Places(data_dir, None if dags_dir is None else dags_dir.resolve())
        # First: whatever happens from here on, no step outlives this process.
        self._guardian = Guardian(self.incarnation, self._guardian_lost)
        self._shipper = LogShipper(transport)
        self._spans = AttemptSpans(worker_id)
        self._reporter = Reporter(transport, data_dir / "spool", self.attempts.delivered)
        self._pipeline = Pipeline(
            Identity(worker_id, self.incarnation),
            places,
            maker=Maker(self._guardian, places),
            shipper=self._shipper,
            reporter=self._reporter,
            attempts=self.attempts,
            counters=self.counters,
            spans=self._spans,
        )
        self._routes = KnownRoutes(data_dir / "routes.json", self._labels)
        self._lease = Lease(transport, lease_ttl_s, self._heartbeat)
        self._intake: Intake | None = None

    @property
    def slots(self) -> int:
        """Attempts it runs at once."""
        return self._slots

    @property
    def busy(self) -> int:
        """Attempts it holds."""
        return len(self.attempts.tokens())

    @property
    def draining(self) -> bool:
        """Whether it was asked to end."""
        return self._draining

    @property
    def trouble(self) -> str:
        """What keeps it from its work, empty when nothing does."""
        return self._room.problem() if self._transport.healthy else "the message broker is away or blocks publishers"

    @property
    def spooled(self) -> int:
        """Reports on disk that the broker has not taken."""
        return self._reporter.spooled

    def start(self) -> None:
        """Begin to take tasks; the first heartbeat is sent before the first task can arrive."""
        self._running = True
        try:
            # A worker may be the first process there is: what it sends must find its queues. Where its
            # broker user may not make any, the schedulers do.
            self._transport.declare([EVENTS, LOGS, HEARTBEATS])
        except Unavailable as error:
            _log.info("worker.left_routes_to_schedulers", extra={"error": str(error)})
        self._shipper.start()
        self._reporter.start()
        self._lease.start()
        self._intake = Intake(
            self._transport,
            worker_id=self._worker_id,
            slots=self._slots,
            routes=self._routes,
            pipeline=self._pipeline,
            attempts=self.attempts,
            reporter=self._reporter,
            counters=self.counters,
            room=self._room,
        )
        self._transport.listen(
            topics(self._worker_id), Control(self.attempts, self._intake.open_route, self._spans).hear
        )
        self._intake.start()
        _log.info("worker.started", extra={"worker_id": self._worker_id, "slots": self._slots, "pid": os.getpid()})

    def stop(self, drain_s: float = 0) -> None:
        """Take no more tasks, give running attempts ``drain_s`` to end, end the rest, leave.

        Attempts that had to be ended are reported as ``broken``. Safe to call twice, or before
        ``start``.
        """
        if self._stopped:
            return
        self._stopped = True
        self._draining = True
        if self._running and self._intake is not None:
            self._intake.stop()
            if not self.attempts.wait_idle(drain_s):
                self.attempts.stop_all(StopKind.SHUTDOWN)
                if not self.attempts.wait_idle(_SHUTDOWN_S):
                    left = self.attempts.tokens()
                    _log.error("worker.left_attempts", extra={"tokens": left, "next": "their leases run out"})
            self._shipper.stop()
            self._reporter.stop()
            self._lease.stop()
            self._intake.close()
            self._spans.stop()
        self._guardian.close()
        _log.info("worker.stopped", extra={"worker_id": self._worker_id})

    def _heartbeat(self, stopped: bool) -> Heartbeat:
        return Heartbeat(
            worker_id=self._worker_id,
            incarnation=self.incarnation,
            host=socket.gethostname(),
            version=self._version,
            started_at=self._started_at,
            at=utc_now(),
            slots=self._slots,
            labels=self._labels,
            executors=able_types(),
            tokens=self.attempts.tokens(),
            draining=self._draining,
            stopped=stopped,
        )

    def _guardian_lost(self) -> None:
        self.failed.set()
        self._on_failure()
