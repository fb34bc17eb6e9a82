"""The worker service. It connects to the broker only, and reports all its state to the schedulers.

It stops in this order: intake, running attempts, logs and reports, last heartbeat, guardian.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from services.worker.attempt.context import Preparation
from services.worker.attempt.grants import Grants
from services.worker.attempt.handler import TaskHandler, WorkerIdentity
from services.worker.attempt.registry import AttemptRegistry
from services.worker.attempt.runner import AttemptRunner
from services.worker.attempt.spans import AttemptSpans
from services.worker.control import ControlListener
from services.worker.drain_mark import DrainMark
from services.worker.executors.capabilities import InstalledTypes, available_types
from services.worker.inputs.sealing import Sealer
from services.worker.inputs.secret_values import SecretResolver
from services.worker.inputs.workspace import Workspace
from services.worker.intake import TaskIntake
from services.worker.known_selectors import KnownSelectors
from services.worker.output.disk_reserve import DiskReserve
from services.worker.output.log_shipper import LogShipper
from services.worker.process.folder_emptier import FolderEmptier
from services.worker.process.guardian_client import GuardianClient
from services.worker.process.guardian_process import GuardianProcess
from services.worker.process.step_users import StepUser, StepUsers
from services.worker.process.stop_request import StopKind
from services.worker.reporting.heartbeat import HeartbeatSender
from services.worker.reporting.metrics import WorkerCounters, WorkerFacts
from services.worker.reporting.reports import Reporter
from services.worker.run_files import RunFiles
from shared.clock import utc_now
from shared.contracts.control import WORKERS, worker_topic
from shared.contracts.events import Heartbeat
from shared.contracts.signing_keys import SharedKey
from shared.disk import DiskCheck
from shared.ids import new_token
from shared.outbound import OutboundPolicy
from shared.private_files import private_folder
from shared.service import Background
from shared.settings.user_readers import StepUserRange
from shared.transport.base import WorkerTransport

__all__ = ["Worker", "WorkerSettings"]

_log = logging.getLogger(__name__)
_SHUTDOWN_S = 30.0
"""How long a stopping worker waits for the end reports of its stopped attempts."""
_BETWEEN_STEPS_S = 10.0
"""How long a stopping worker waits for the next step of a run, which needs its files. A scheduler usually sends it
within milliseconds, but all services may be restarting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of a worker. ``shared.settings.options.OPTIONS`` describes those without a text here."""

    worker_id: str
    slots: int
    data_dir: Path
    """Must not be shared with another worker."""
    version: str = ""
    """The version of Dagway that runs."""
    dags_dir: Path | None = None
    """If it is set, steps run in the directory of their DAG's file by default."""
    labels: dict[str, str] = field(default_factory=dict)
    lease_s: float = 10
    step_users: StepUserRange | None = None
    """If it is set, steps have users of their own: the guardian must have the right to change users, and this process
    must be in the groups of these users."""
    private: tuple[Path, ...] = ()
    """Below these, DAGs cannot name files if steps have users of their own."""
    run_files_days: int = 7
    run_files_failed: int = 1000
    run_files_mib: int = 0
    data_size: int = 0
    """How many bytes the files in ``data_dir`` may take; 0: what the disk has."""
    seal_keys: tuple[SharedKey, ...] = ()
    """If there are any, secrets in the parameters of sub-runs are sealed (ADR 36)."""
    outbound: OutboundPolicy = "any"
    reported: dict[str, tuple[str, str]] | None = None
    """What administrators read about the settings of this worker."""


class Worker:
    """A worker inside this process. Installs no signal handlers, and does not close ``transport``.

    If the guardian or a thread dies, ``failed`` is set and ``on_failure`` is called: the process must then end with an
    exit code other than 0. ``guardian`` is a guardian process that was started before.
    ``resolver`` looks up the secrets of steps.
    """

    def __init__(
        self,
        transport: WorkerTransport,
        settings: WorkerSettings,
        *,
        on_failure: Callable[[], None] = lambda: None,
        guardian: GuardianProcess | None = None,
        resolver: SecretResolver | None = None,
    ) -> None:
        self.counters = WorkerCounters()
        self.failed = threading.Event()
        self.incarnation = new_token()
        self._heartbeats = HeartbeatSender(transport, settings.lease_s, self._heartbeat, self._fail)
        self.attempts = AttemptRegistry(self._heartbeats.note_news)
        self._transport, self._settings, self._on_failure = transport, settings, on_failure
        self._started_at, self._started_s = utc_now(), time.monotonic()
        self._draining = self._stopped = self._running = False
        self._types = InstalledTypes(available_types)
        data_dir = settings.data_dir.resolve()
        private = tuple(path.resolve() for path in settings.private)
        for folder in (data_dir, data_dir / "runs", data_dir / "logs", data_dir / "spool"):
            private_folder(folder)
        if settings.step_users is not None:
            _let_pass(data_dir, private)
        self._room = DiskCheck(data_dir)
        # Before everything that starts steps: the guardian ends all steps when this process dies.
        self._guardian = GuardianClient(self.incarnation, self._fail, guardian)
        users = None if settings.step_users is None else self._step_users(data_dir, settings.step_users)
        dags_dir = None if settings.dags_dir is None else settings.dags_dir.resolve()
        workspace = Workspace(data_dir, dags_dir, users, private)
        sealer, resolver = Sealer(settings.seal_keys), resolver or SecretResolver()
        self._spans = AttemptSpans(settings.worker_id, settings.outbound)
        emptier = None if users is None else FolderEmptier(self._guardian, users)
        self.run_files = RunFiles(
            data_dir,
            settings.run_files_days,
            emptier,
            end_left=None if emptier is None else emptier.end_left,
            most_failed=settings.run_files_failed,
            most_bytes=settings.run_files_mib << 20,
        )
        self._reserve = DiskReserve(data_dir, settings.data_size, self.run_files)
        self._shipper = LogShipper(transport, self._reserve, self._fail)
        self._removing = Background("run-files", self.run_files.run, self._fail)
        self._reporter = Reporter(transport, data_dir / "spool", self.attempts.delivered, self._fail)
        self._grants = Grants(self._reporter)
        self._handler = TaskHandler(
            WorkerIdentity(settings.worker_id, self.incarnation),
            Preparation(workspace, sealer, resolver),
            runner=AttemptRunner(self._guardian, workspace, sealer, resolver, settings.outbound),
            shipper=self._shipper,
            reporter=self._reporter,
            attempts=self.attempts,
            grants=self._grants,
            heard=lambda: self._heartbeats.heard,
            counters=self.counters,
            spans=self._spans,
        )
        self._selectors = KnownSelectors(data_dir / "routes.json", settings.labels)
        self._drain_mark = DrainMark(data_dir / "drained")
        self._intake: TaskIntake | None = None

    def facts(self) -> WorkerFacts:
        """Return what this worker says about itself now."""
        return WorkerFacts(
            counts=self.counters.now(),
            slots=self._settings.slots,
            busy=len(self.attempts.tokens()),
            draining=self._draining or self._is_drained,
            spooled=self._reporter.spooled,
            trouble=self._trouble(),
        )

    def _trouble(self) -> str:
        if not self._transport.healthy:
            return "the broker is unreachable or blocks publishers"
        if forbidden := self._transport.forbidden:
            return f"the broker login may not consume {', '.join(forbidden)}"
        return self._room.problem()

    def start(self) -> None:
        """Begin to take tasks. Sends the first heartbeat before the first task can arrive."""
        self._running = True
        # Heartbeats name the attempts of an earlier process that are in the spool: their reports are on the way.
        for token in self._reporter.spooled_tokens():
            self.attempts.end(token, reported=False)
        self._shipper.start()
        self._reporter.start()
        self._heartbeats.start()
        # A folder with a million files takes seconds. Meanwhile the worker is heard, and sends what is in its spool.
        self._reserve.begin()
        self._intake = TaskIntake(
            self._transport,
            worker_id=self._settings.worker_id,
            slots=self._settings.slots,
            selectors=self._selectors,
            handler=self._handler,
            attempts=self.attempts,
            reporter=self._reporter,
            counters=self.counters,
            room=self._room,
            run_files=self.run_files,
            on_failure=self._fail,
            drained=self._drain_mark.drained,
        )
        self._transport.listen(
            (worker_topic(self._settings.worker_id), WORKERS),
            ControlListener(
                self.incarnation,
                self.attempts,
                self._grants,
                self._intake.consume_selector,
                self._spans,
                run_files=self.run_files,
                drain=self._drain,
            ).on_message,
        )
        self._intake.start()
        self._removing.start()
        _log.info(
            "worker.started",
            extra={"worker_id": self._settings.worker_id, "slots": self._settings.slots, "pid": os.getpid()},
        )

    def stop(self, drain_s: float = 0) -> None:
        """Take no new runs, wait at most ``drain_s`` for running attempts, stop the rest, and end.

        In that time, the worker still takes the next steps of the runs that it works on, because they share its files.
        Stopped attempts are reported as ``broken``. Safe to call twice, or before ``start``. Without its guardian the
        worker takes no further steps: each would fail at once, and the retries of a step within seconds.
        """
        if self._stopped:
            return
        self._stopped = True
        if self._running and self._intake is not None:
            deadline = time.monotonic() + drain_s
            if drain_s and self.attempts.tokens() and not self._guardian.lost:
                _log.info("worker.draining", extra={"worker_id": self._settings.worker_id, "at_most_s": drain_s})
                self._intake.drain()
                self._draining = True
                self.attempts.wait_quiet(_BETWEEN_STEPS_S, drain_s)
            self._draining = True
            self._intake.stop()
            if not self.attempts.wait_idle(max(0.0, deadline - time.monotonic())):
                self.attempts.stop_all(StopKind.SHUTDOWN)
                self._reporter.free_room()
                if not self.attempts.wait_idle(_SHUTDOWN_S):
                    left = self.attempts.tokens()
                    advice = f"lower the maxCleanUpTimeSec of their DAGs, if it is {_SHUTDOWN_S:.0f} or more"
                    _log.error("worker.left_attempts", extra={"tokens": left, "next": advice})
            self._shipper.stop()
            self._reporter.stop()
            self._heartbeats.stop()
            self._removing.stop()
            self._intake.close()
            self._spans.stop()
        self._guardian.close()
        _log.info("worker.stopped", extra={"worker_id": self._settings.worker_id})

    @property
    def _is_drained(self) -> bool:
        """Whether an order to drain holds, and no more new runs are taken."""
        return self._drain_mark.drained and self._intake is not None and self._intake.own_only

    def _drain(self, drained: bool) -> None:
        """Follow the order of an operator to take no new runs, or to take some again."""
        if self._intake is None or drained == self._drain_mark.drained:
            return
        self._drain_mark.set(drained)
        self._intake.set_drained(drained)
        self._heartbeats.note_news()
        _log.info("worker.drained" if drained else "worker.resumed", extra={"worker_id": self._settings.worker_id})

    def _heartbeat(self, stopped: bool) -> Heartbeat:
        self._guardian.wake()
        return Heartbeat(
            worker_id=self._settings.worker_id,
            incarnation=self.incarnation,
            host=socket.gethostname(),
            version=self._settings.version,
            started_at=self._started_at,
            # Continued by the monotonic clock: schedulers compare these times, and the host's clock may jump.
            at=self._started_at + timedelta(seconds=time.monotonic() - self._started_s),
            slots=self._settings.slots,
            labels=self._settings.labels,
            executors=self._types(),
            # First the kept tasks: one that begins meanwhile is then named twice, and not left out.
            kept=self._intake.kept_tokens() if self._intake is not None else (),
            tokens=self.attempts.tokens(),
            draining=self._draining or self._is_drained,
            drained=self._is_drained,
            settings=self._settings.reported,
            stopped=stopped,
        )

    def _step_users(self, data_dir: Path, users: StepUserRange) -> StepUsers:
        first = StepUser(users.first_uid, users.first_gid, users.home)
        return StepUsers(first, users.count, [data_dir / "runs", data_dir / "logs"], self._guardian.release)

    def _fail(self) -> None:
        self.failed.set()
        self._on_failure()


def _let_pass(data_dir: Path, private: tuple[Path, ...]) -> None:
    """Let steps with users of their own pass through the folders, without looking around."""
    runs, logs = data_dir / "runs", data_dir / "logs"
    for folder in [data_dir, *filter(Path.is_dir, private), runs, *runs.glob("*"), logs, *logs.glob("*")]:
        # A mounted folder can belong to somebody else, who decides.
        with suppress(OSError):
            folder.chmod(folder.stat().st_mode | 0o011)
