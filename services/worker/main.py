"""The worker service. It connects to the broker only, and reports all its state to the schedulers.

It stops in this order: intake, running attempts, logs and reports, last heartbeat, guardian.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from services.worker.attempt.grants import Grants
from services.worker.attempt.handler import TaskHandler, WorkerIdentity
from services.worker.attempt.registry import AttemptRegistry
from services.worker.attempt.runner import AttemptRunner
from services.worker.attempt.spans import AttemptSpans
from services.worker.control import ControlListener, topics
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
from services.worker.process.outcome import StopKind
from services.worker.process.step_users import StepUser, StepUsers
from services.worker.reporting.heartbeat import HeartbeatSender
from services.worker.reporting.metrics import WorkerCounters, WorkerFacts
from services.worker.reporting.reports import Reporter
from services.worker.run_files import RunFiles
from shared.clock import utc_now
from shared.contracts.events import Heartbeat
from shared.contracts.signing_keys import SharedKey
from shared.disk import DiskCheck
from shared.ids import new_token
from shared.outbound import OutboundPolicy
from shared.private_files import private_folder
from shared.service import Background
from shared.transport.base import WorkerTransport

__all__ = ["Worker"]

_log = logging.getLogger(__name__)
_SHUTDOWN_S = 30.0
"""How long a stopping worker waits for the end reports of its stopped attempts."""
_BETWEEN_STEPS_S = 10.0
"""How long a stopping worker waits for the next step of a run, which needs its files. A scheduler usually sends it
within milliseconds, but all services may be restarting."""


class Worker:
    """A worker inside this process. Installs no signal handlers, and does not close ``transport``.

    ``data_dir`` must not be shared with another worker. Its files may take ``data_size`` bytes; 0: what the disk has.
    With ``dags_dir``, the folder of the DAG files, steps run in the directory of their DAG's file by default. If the
    guardian or the thread that takes tasks dies, ``failed`` is set and ``on_failure`` is called: the process must then
    end with an exit code other than 0.

    ``guardian`` is a guardian process that was started before. With ``step_user`` (first uid, first gid, number of
    users, home), steps have users of their own: the guardian must have the right to change users, and this process must
    be in the groups of these users. DAGs then cannot name files below ``private``. With ``seal_keys``, secrets in the
    parameters of sub-runs are sealed (ADR 36). ``resolver`` looks up the secrets of steps. HTTP requests for DAGs obey
    ``outbound``. ``settings``: what administrators read about the settings of this worker.
    """

    def __init__(
        self,
        transport: WorkerTransport,
        *,
        worker_id: str,
        slots: int,
        data_dir: Path,
        dags_dir: Path | None = None,
        labels: Mapping[str, str] | None = None,
        lease_ttl_s: float = 10,
        version: str = "",
        on_failure: Callable[[], None] = lambda: None,
        guardian: GuardianProcess | None = None,
        step_user: tuple[int, int, int, str] | None = None,
        private: tuple[Path, ...] = (),
        run_files_days: int = 7,
        run_files_failed: int = 1000,
        run_files_mib: int = 0,
        data_size: int = 0,
        seal_keys: tuple[SharedKey, ...] = (),
        resolver: SecretResolver | None = None,
        outbound: OutboundPolicy = "any",
        settings: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.counters = WorkerCounters()
        self.failed = threading.Event()
        self.incarnation = new_token()
        self._heartbeats = HeartbeatSender(transport, lease_ttl_s, self._heartbeat)
        self.attempts = AttemptRegistry(self._heartbeats.note_news)
        self._on_failure = on_failure
        self._worker_id = worker_id
        self._slots = slots
        self._labels = dict(labels or {})
        self._version = version
        self._settings = None if settings is None else dict(settings)
        self._started_at, self._started_s = utc_now(), time.monotonic()
        self._draining = False
        self._stopped = False
        self._running = False
        self._types = InstalledTypes(available_types)
        self._transport = transport
        data_dir = data_dir.resolve()
        runs, logs = data_dir / "runs", data_dir / "logs"
        for folder in (data_dir, runs, logs, data_dir / "spool"):
            private_folder(folder)
        private = tuple(path.resolve() for path in private)
        if step_user is not None:
            _let_pass([data_dir, *filter(Path.is_dir, private), runs, *runs.glob("*"), logs, *logs.glob("*")])
        self._room = DiskCheck(data_dir)
        # Before everything that starts steps: the guardian ends all steps when this process dies.
        self._guardian = GuardianClient(self.incarnation, self._fail, guardian)
        users = None if step_user is None else self._step_users(data_dir, *step_user)
        workspace = Workspace(data_dir, None if dags_dir is None else dags_dir.resolve(), users, private)
        sealer, resolver = Sealer(seal_keys), resolver or SecretResolver()
        self._spans = AttemptSpans(worker_id, outbound)
        emptier = None if users is None else FolderEmptier(self._guardian, users)
        self.run_files = RunFiles(
            data_dir, run_files_days, emptier, most_failed=run_files_failed, most_bytes=run_files_mib << 20
        )
        self._reserve = DiskReserve(data_dir, data_size, self.run_files)
        self._shipper = LogShipper(transport, self._reserve)
        self._removing = Background("run-files", self.run_files.run, self._fail)
        self._reporter = Reporter(transport, data_dir / "spool", self.attempts.delivered)
        self._grants = Grants(self._reporter)
        self._handler = TaskHandler(
            WorkerIdentity(worker_id, self.incarnation),
            workspace,
            runner=AttemptRunner(self._guardian, workspace, sealer, resolver, outbound),
            sealer=sealer,
            resolver=resolver,
            shipper=self._shipper,
            reporter=self._reporter,
            attempts=self.attempts,
            grants=self._grants,
            heard=lambda: self._heartbeats.heard,
            counters=self.counters,
            spans=self._spans,
        )
        self._selectors = KnownSelectors(data_dir / "routes.json", self._labels)
        self._drain_mark = DrainMark(data_dir / "drained")
        self._intake: TaskIntake | None = None

    def facts(self) -> WorkerFacts:
        """Return what this worker says about itself now."""
        away = "" if self._transport.healthy else "the broker is unreachable or blocks publishers"
        return WorkerFacts(
            counts=self.counters.now(),
            slots=self._slots,
            busy=len(self.attempts.tokens()),
            draining=self._draining or self._is_drained,
            spooled=self._reporter.spooled,
            trouble=away or self._room.problem(),
        )

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
            worker_id=self._worker_id,
            slots=self._slots,
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
            topics(self._worker_id),
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
        _log.info("worker.started", extra={"worker_id": self._worker_id, "slots": self._slots, "pid": os.getpid()})

    def stop(self, drain_s: float = 0) -> None:
        """Take no new runs, wait at most ``drain_s`` for running attempts, stop the rest, and end.

        In that time, the worker still takes the next steps of the runs that it works on, because they share its files.
        Stopped attempts are reported as ``broken``. Safe to call twice, or before ``start``.
        """
        if self._stopped:
            return
        self._stopped = True
        if self._running and self._intake is not None:
            deadline = time.monotonic() + drain_s
            if drain_s and self.attempts.tokens():
                _log.info("worker.draining", extra={"worker_id": self._worker_id, "at_most_s": drain_s})
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
                    _log.error("worker.left_attempts", extra={"tokens": left, "next": "their leases will expire"})
            self._shipper.stop()
            self._reporter.stop()
            self._heartbeats.stop()
            self._removing.stop()
            self._intake.close()
            self._spans.stop()
        self._guardian.close()
        _log.info("worker.stopped", extra={"worker_id": self._worker_id})

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
        _log.info("worker.drained" if drained else "worker.resumed", extra={"worker_id": self._worker_id})

    def _heartbeat(self, stopped: bool) -> Heartbeat:
        return Heartbeat(
            worker_id=self._worker_id,
            incarnation=self.incarnation,
            host=socket.gethostname(),
            version=self._version,
            started_at=self._started_at,
            # Continued by the monotonic clock: schedulers compare these times, and the host's clock may jump.
            at=self._started_at + timedelta(seconds=time.monotonic() - self._started_s),
            slots=self._slots,
            labels=self._labels,
            executors=self._types(),
            # First the kept tasks: one that begins meanwhile is then named twice, and not left out.
            kept=self._intake.kept_tokens() if self._intake is not None else (),
            tokens=self.attempts.tokens(),
            draining=self._draining or self._is_drained,
            drained=self._is_drained,
            settings=self._settings,
            stopped=stopped,
        )

    def _step_users(self, data_dir: Path, uid: int, gid: int, count: int, home: str) -> StepUsers:
        shared = [data_dir / "runs", data_dir / "logs"]
        return StepUsers(StepUser(uid, gid, home), count, shared, self._guardian.release)

    def _fail(self) -> None:
        self.failed.set()
        self._on_failure()


def _let_pass(folders: Iterable[Path]) -> None:
    """Let steps with users of their own pass through these folders, without looking around."""
    for folder in folders:
        # A mounted folder can belong to somebody else, who decides.
        with suppress(OSError):
            folder.chmod(folder.stat().st_mode | 0o011)
