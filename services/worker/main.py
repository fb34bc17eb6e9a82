"""The worker service. It connects to the broker only, and reports all its state to the schedulers.

It stops in this order: intake, running attempts, logs and reports, last heartbeat, guardian.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from services.worker.attempt.grants import Grants
from services.worker.attempt.handler import TaskHandler, WorkerIdentity
from services.worker.attempt.registry import AttemptRegistry
from services.worker.attempt.runner import AttemptRunner
from services.worker.attempt.spans import AttemptSpans
from services.worker.control import ControlListener, topics
from services.worker.executors.capabilities import available_types
from services.worker.inputs.workspace import Workspace
from services.worker.intake import KnownSelectors, TaskIntake
from services.worker.output.log_shipper import LogShipper
from services.worker.process.guardian_client import GuardianClient
from services.worker.process.outcome import StopKind
from services.worker.reporting.heartbeat import HeartbeatSender
from services.worker.reporting.metrics import WorkerCounters
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
"""How long a stopping worker waits for the end reports of its stopped attempts."""


class Worker:
    """A worker inside this process. Installs no signal handlers, and does not close ``transport``.

    ``data_dir`` must not be shared with another worker. With ``dags_dir``, the folder of the DAG files, steps run in
    the directory of their DAG's file by default. If the guardian dies, ``failed`` is set and ``on_failure`` is called:
    the process must then end with an exit code other than 0, since it can neither start nor watch steps.
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
        self.counters = WorkerCounters()
        self.failed = threading.Event()
        self.incarnation = new_token()
        self.attempts = AttemptRegistry()
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
        workspace = Workspace(data_dir, None if dags_dir is None else dags_dir.resolve())
        # Before everything that starts steps: the guardian ends all steps when this process dies.
        self._guardian = GuardianClient(self.incarnation, self._guardian_lost)
        self._shipper = LogShipper(transport)
        self._spans = AttemptSpans(worker_id)
        self._reporter = Reporter(transport, data_dir / "spool", self.attempts.delivered)
        self._grants = Grants(self._reporter)
        self._heartbeats = HeartbeatSender(transport, lease_ttl_s, self._heartbeat)
        self._handler = TaskHandler(
            WorkerIdentity(worker_id, self.incarnation),
            workspace,
            runner=AttemptRunner(self._guardian, workspace),
            shipper=self._shipper,
            reporter=self._reporter,
            attempts=self.attempts,
            grants=self._grants,
            heard=lambda: self._heartbeats.heard,
            counters=self.counters,
            spans=self._spans,
        )
        self._selectors = KnownSelectors(data_dir / "routes.json", self._labels)
        self._intake: TaskIntake | None = None

    @property
    def slots(self) -> int:
        """How many attempts this worker runs at once."""
        return self._slots

    @property
    def busy(self) -> int:
        """How many attempts run or are not reported yet."""
        return len(self.attempts.tokens())

    @property
    def draining(self) -> bool:
        """Whether this worker is stopping."""
        return self._draining

    @property
    def trouble(self) -> str:
        """Why this worker cannot take tasks; empty if it can."""
        return self._room.problem() if self._transport.healthy else "the broker is unreachable or blocks publishers"

    @property
    def spooled(self) -> int:
        """How many reports are in the spool, i.e. on disk because the broker has not accepted them."""
        return self._reporter.spooled

    def start(self) -> None:
        """Begin to take tasks. Sends the first heartbeat before the first task can arrive."""
        self._running = True
        try:
            # The worker may be the first process to start, and its messages need these queues. If its broker user has
            # no right to declare queues, the schedulers declare them.
            self._transport.declare([EVENTS, LOGS, HEARTBEATS])
        except Unavailable as error:
            _log.info("worker.left_routes_to_schedulers", extra={"error": str(error)})
        self._shipper.start()
        self._reporter.start()
        self._heartbeats.start()
        self._intake = TaskIntake(
            self._transport,
            worker_id=self._worker_id,
            slots=self._slots,
            selectors=self._selectors,
            handler=self._handler,
            attempts=self.attempts,
            reporter=self._reporter,
            counters=self.counters,
            room=self._room,
        )
        self._transport.listen(
            topics(self._worker_id),
            ControlListener(
                self.incarnation, self.attempts, self._grants, self._intake.consume_selector, self._spans
            ).on_message,
        )
        self._intake.start()
        _log.info("worker.started", extra={"worker_id": self._worker_id, "slots": self._slots, "pid": os.getpid()})

    def stop(self, drain_s: float = 0) -> None:
        """Take no more tasks, wait at most ``drain_s`` for running attempts, stop the rest, and end.

        Stopped attempts are reported as ``broken``. Safe to call twice, or before ``start``.
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
                    _log.error("worker.left_attempts", extra={"tokens": left, "next": "their leases will expire"})
            self._shipper.stop()
            self._reporter.stop()
            self._heartbeats.stop()
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
            executors=available_types(),
            tokens=self.attempts.tokens(),
            draining=self._draining,
            stopped=stopped,
        )

    def _guardian_lost(self) -> None:
        self.failed.set()
        self._on_failure()
