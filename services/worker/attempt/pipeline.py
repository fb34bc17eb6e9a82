"""One attempt from its task to its report: prepare, start, run, classify, report.

Total: whatever happens in between, an attempt that was reported as started ends in exactly one
``AttemptFinished``, unless it was revoked (nobody would believe the report) or the worker dies.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from services.worker.attempt.held import Attempts
from services.worker.attempt.runner import Made, Maker
from services.worker.attempt.spans import AttemptSpans
from services.worker.inputs.environment import Ground, lay_ground
from services.worker.inputs.workspace import LogPaths, OutputFiles, Places, log_paths
from services.worker.output.annotations import Marks
from services.worker.output.log_shipper import AttemptLogs, LogShipper, log_message
from services.worker.output.masking import Masker
from services.worker.process.outcome import Result, StopKind
from services.worker.process.supervise import Stop
from services.worker.reporting.metrics import Counters
from services.worker.reporting.reports import Reporter
from shared.clock import utc_now
from shared.contracts.events import (
    AttemptFinished,
    AttemptGivenUp,
    AttemptProgress,
    AttemptStarted,
    Event,
    LogChunk,
    TaskRedelivered,
)
from shared.contracts.tasks import Task
from shared.errors import PublishUnconfirmed, Unavailable
from shared.tracing import SpanContext
from shared.transport.base import Delivery

__all__ = ["Identity", "Pipeline"]

_log = logging.getLogger(__name__)
E = TypeVar("E", bound=Event)
_NO_LOGS = LogPaths("", "", "")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who reports: the worker's name, and which process of that name."""

    worker_id: str
    incarnation: str


@dataclass(slots=True)
class _Desk:
    """One attempt being made, and what was laid out for it."""

    task: Task
    of_run: SpanContext
    stop: Stop
    began_at: datetime
    paths: LogPaths
    files: OutputFiles | None = None
    ground: Ground | None = None
    fault: str = ""
    """Why it cannot be made at all."""

    def note(self, text: str) -> None:
        if self.files is not None:
            self.files.note(f"{utc_now().isoformat()[:19]}Z {self.task.step.name}: {text}")


class Pipeline:
    """Makes attempts; ``run`` may be called on many threads at once."""

    def __init__(
        self,
        identity: Identity,
        places: Places,
        *,
        maker: Maker,
        shipper: LogShipper,
        reporter: Reporter,
        attempts: Attempts,
        counters: Counters,
        spans: AttemptSpans,
    ) -> None:
        self._identity = identity
        self._places = places
        self._maker = maker
        self._shipper = shipper
        self._reporter = reporter
        self._attempts = attempts
        self._counters = counters
        self._spans = spans

    def run(self, task: Task, stop: Stop, delivery: Delivery, of_run: SpanContext) -> None:
        """Report the start, ack the task, make the attempt, report its end. ``of_run`` is the span above its own."""
        began_at = utc_now()
        paths = log_paths(self._places.log_folder(task), task) if task.kind != "prepare" else _NO_LOGS
        started = self._event(AttemptStarted, task, began_at, stdout=paths.stdout_whole, stderr=paths.stderr_whole)
        accepted = self._reporter.send(started)
        desk = _Desk(task, of_run, stop, began_at, paths)
        try:
            # Reading files overlaps with the wait for the confirm; nothing of the user's runs yet.
            try:
                if task.kind != "prepare":
                    desk.files = OutputFiles(paths, task)
                    desk.ground = self._ground(task)
            except Exception as error:  # noqa: BLE001 - whatever a task can cause here is told as its outcome
                desk.fault = str(error) or type(error).__name__
            try:
                accepted.result()
            except Unavailable as error:
                _log.warning("attempt.start_unconfirmed", extra={"token": task.token, "error": str(error)})
                self._give_up(task, perhaps_heard=isinstance(error, PublishUnconfirmed))
                delivery.retry()
                return
            delivery.ack()
            self._make(desk)
        finally:
            if desk.files is not None:
                desk.files.close()

    def _give_up(self, task: Task, *, perhaps_heard: bool) -> None:
        if not perhaps_heard:
            self._attempts.drop(task.token)
            return
        # A scheduler that heard of the start, and then nothing more, would take the step for lost.
        reported = self._reporter.over(self._event(AttemptGivenUp, task, utc_now()))
        self._attempts.end(task.token, reported=reported)

    def _ground(self, task: Task) -> Ground:
        # That a secret is missing is just what handlers and mails must tell.
        return lay_ground(task, self._places.dag_folder(task), all_secrets=task.kind in {"step", "prepare"})

    def refuse(self, task: Task) -> AttemptFinished:
        """Return the end of an attempt whose stop came before its task: it was not made."""
        now = utc_now()
        return self._event(AttemptFinished, task, now, started_at=now, outcome="aborted", exit_code=-1)

    def redelivered(self, task: Task) -> TaskRedelivered:
        """Return the report on a task that the broker delivered before."""
        return self._event(TaskRedelivered, task, utc_now())

    def _make(self, desk: "_Desk") -> None:
        task, stop, files, ground = desk.task, desk.stop, desk.files, desk.ground
        masker = Masker(ground.hidden if ground else ())
        logs: AttemptLogs | None = None
        try:
            if desk.fault:
                made = Made(Result("broken", 1, desk.fault), {})
            elif files is None or ground is None:
                made = self._maker.prepare(task, stop)
            else:
                desk.note(f"attempt {task.number} started")
                logs = self._shipper.follow(self._maker.streams(task, stop, ground, files), partial(self._tell, task))
                made = self._maker.execute(task, stop, ground, files, masker)
        except Exception as error:  # noqa: BLE001 - all that a step can cause becomes its outcome
            _log.warning("attempt.broken", extra={"token": task.token}, exc_info=True)
            made = Made(Result("broken", 1, masker.text(str(error) or type(error).__name__)), {})
        if logs is not None:
            self._shipper.leave(logs)
        if files is not None:
            files.keep(masker)
        if stop.kind is StopKind.REVOKED:
            if logs is not None:
                logs.abandon()
            self._attempts.end(task.token, reported=True)
            return
        self._report(desk, made, logs)
        desk.note(made.result.outcome)

    def _report(self, desk: "_Desk", made: Made, logs: AttemptLogs | None) -> None:
        task, result = desk.task, made.result
        riding: tuple[LogChunk, ...] = ()
        why = ""
        try:
            riding = logs.finish() if logs is not None else ()
        except Unavailable as error:
            why = str(error)
        except OSError as error:
            result = Result("failed", result.exit_code or 1, f"the step's output could not be read: {error}")

        def finished() -> AttemptFinished:
            """Make the report; what the step said of itself is known once all its output was read."""
            facts = {**made.facts, "outputs": made.outputs}
            if logs is not None and (marks := logs.marks) is not None:
                marks.close()
                facts |= {"progress": marks.progress, "remarks": marks.remarks}
                facts["outputs"] = {**marks.outputs, **made.outputs}
            return self._event(
                AttemptFinished,
                task,
                utc_now(),
                started_at=desk.began_at,
                outcome=result.outcome,
                exit_code=result.exit_code,
                error=result.error,
                stdout=desk.paths.stdout_whole,
                stderr=desk.paths.stderr_whole,
                logs=riding,
                **facts,
            )

        if why and logs is not None:
            self._reporter.later(task.token, map(log_message, logs.rest()), finished, why)
            reported = False
        else:
            reported = self._reporter.over(finished())
        self._attempts.end(task.token, reported=reported)
        self._counters.add(f"finished.{result.outcome}")
        self._spans.attempt_over(task, desk.of_run, desk.began_at, result, desk.ground)

    def _tell(self, task: Task, marks: Marks) -> None:
        # Nobody waits for it: the report at the end says it again.
        facts = {"seq": marks.news, "progress": marks.progress, "remarks": marks.remarks}
        self._reporter.send(self._event(AttemptProgress, task, utc_now(), **facts))

    def _event(self, cls: type[E], task: Task, at: datetime, **facts: Any) -> E:
        return cls(
            token=task.token,
            run_key=task.run_key,
            node=task.node,
            worker_id=self._identity.worker_id,
            incarnation=self._identity.incarnation,
            at=at,
            **facts,
        )
