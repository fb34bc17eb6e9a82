"""Handle one task: report the start, ack the task, run the attempt, report the end.

Guarantee: an attempt whose start was reported is followed by exactly one ``AttemptFinished``, unless the attempt was
revoked (a scheduler would ignore the report) or the worker dies.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from services.worker.attempt.registry import AttemptRegistry
from services.worker.attempt.runner import AttemptResult, AttemptRunner
from services.worker.attempt.spans import AttemptSpans
from services.worker.inputs.environment import Inputs, prepare_inputs
from services.worker.inputs.workspace import Workspace
from services.worker.output.annotations import Annotations
from services.worker.output.files import LogPaths, OutputFiles, log_paths
from services.worker.output.log_shipper import AttemptLogs, LogShipper, LogStream, log_message
from services.worker.output.masking import Masker
from services.worker.process.outcome import Result, StopKind
from services.worker.process.supervisor import StopRequest
from services.worker.reporting.metrics import WorkerCounters
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

__all__ = ["TaskHandler", "WorkerIdentity"]

_log = logging.getLogger(__name__)
E = TypeVar("E", bound=Event)
_NO_LOGS = LogPaths("", "", "")


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """The sender of reports: the worker's id, and the incarnation, i.e. the process that has this id now."""

    worker_id: str
    incarnation: str


@dataclass(slots=True)
class _AttemptContext:
    """One attempt and its resources; ``files``, ``inputs`` and ``logs`` are ``None`` until they are prepared."""

    task: Task
    stop: StopRequest
    run_span: SpanContext
    started_at: datetime
    paths: LogPaths
    files: OutputFiles | None = None
    inputs: Inputs | None = None
    logs: AttemptLogs | None = None
    error: str = ""
    """Why the files or inputs could not be prepared; empty if they could."""

    def note(self, text: str) -> None:
        """Add a line to this worker's log of the run."""
        if self.files is not None:
            self.files.note(f"{utc_now().isoformat()[:19]}Z {self.task.step.name}: {text}")


class TaskHandler:
    """Handles tasks. Thread-safe."""

    def __init__(
        self,
        identity: WorkerIdentity,
        workspace: Workspace,
        *,
        runner: AttemptRunner,
        shipper: LogShipper,
        reporter: Reporter,
        attempts: AttemptRegistry,
        counters: WorkerCounters,
        spans: AttemptSpans,
    ) -> None:
        self._identity = identity
        self._workspace = workspace
        self._runner = runner
        self._shipper = shipper
        self._reporter = reporter
        self._attempts = attempts
        self._counters = counters
        self._spans = spans

    def run(self, task: Task, stop: StopRequest, delivery: Delivery, run_span: SpanContext) -> None:
        """Handle a task from its delivery to its end report; ``run_span`` is the parent of the attempt's span."""
        started_at = utc_now()
        logs = self._workspace.log_folder(task) if task.kind != "prepare" else None
        paths = _NO_LOGS if logs is None else log_paths(logs, task)
        started = self._event(AttemptStarted, task, started_at, stdout=paths.stdout_whole, stderr=paths.stderr_whole)
        confirm = self._reporter.send(started)
        context = _AttemptContext(task, stop, run_span, started_at, paths)
        try:
            # Prepared while the start report waits for its confirm; no command of the user runs before the confirm.
            try:
                if logs is not None:
                    self._workspace.make_log_folder(logs, task)
                    context.files = OutputFiles(paths, task)
                    # Handlers and mails run without a missing secret: it may be what they report.
                    folder, complete = self._workspace.dag_folder(task), task.kind == "step"
                    reach, home = self._workspace.reach(task), self._workspace.home(task)
                    context.inputs = prepare_inputs(task, folder, all_secrets=complete, reach=reach, home=home)
            except Exception as error:  # noqa: BLE001 - any error becomes the outcome
                context.error = str(error) or type(error).__name__
            try:
                confirm.result()
            except Unavailable as error:
                _log.warning("attempt.start_unconfirmed", extra={"token": task.token, "error": str(error)})
                self._give_up(task, perhaps_heard=isinstance(error, PublishUnconfirmed))
                delivery.retry()
                return
            delivery.ack()
            self._run_attempt(context)
        finally:
            if context.files is not None:
                context.files.close()

    def _give_up(self, task: Task, *, perhaps_heard: bool) -> None:
        if not perhaps_heard:
            self._attempts.drop(task.token)
            return
        # Otherwise a scheduler that did receive the start report would count the attempt as lost.
        reported = self._reporter.finish(self._event(AttemptGivenUp, task, utc_now()))
        self._attempts.end(task.token, reported=reported)

    def refuse(self, task: Task) -> AttemptFinished:
        """Return the end report of an attempt that was stopped before its task arrived."""
        now = utc_now()
        return self._event(AttemptFinished, task, now, started_at=now, outcome="aborted", exit_code=-1)

    def redelivered(self, task: Task) -> TaskRedelivered:
        """Return the report that the broker delivered a task a second time. The task is not run."""
        return self._event(TaskRedelivered, task, utc_now())

    def _run_attempt(self, context: _AttemptContext) -> None:
        task, stop, files, inputs = context.task, context.stop, context.files, context.inputs
        masker = Masker(inputs.hidden if inputs else ())

        def follow_logs(streams: tuple[LogStream, ...]) -> None:
            context.logs = self._shipper.follow(streams, partial(self._report_progress, task))

        try:
            if context.error:
                attempt = AttemptResult(Result("broken", 1, context.error))
            elif files is None or inputs is None:
                attempt = self._runner.prepare(task, stop)
            else:
                context.note(f"attempt {task.number} started")
                attempt = self._runner.execute(task, stop, inputs, files, masker=masker, follow_logs=follow_logs)
        except Exception as error:  # noqa: BLE001 - any error becomes the outcome
            _log.warning("attempt.broken", extra={"token": task.token}, exc_info=True)
            attempt = AttemptResult(Result("broken", 1, masker.text(str(error) or type(error).__name__)))
        logs = context.logs
        if logs is not None:
            self._shipper.leave(logs)
        if files is not None:
            files.keep(masker)
        if stop.kind is StopKind.REVOKED:
            if logs is not None:
                logs.abandon()
            self._attempts.end(task.token, reported=True)
            return
        self._report(context, attempt)
        context.note(attempt.result.outcome)

    def _report(self, context: _AttemptContext, attempt: AttemptResult) -> None:
        task, result, logs = context.task, attempt.result, context.logs
        last_chunks: tuple[LogChunk, ...] = ()
        why = ""
        try:
            last_chunks = logs.finish() if logs is not None else ()
        except Unavailable as error:
            why = str(error)
        except OSError as error:
            result = Result("failed", result.exit_code or 1, f"the step's output could not be read: {error}")

        def finished() -> AttemptFinished:
            """Make the end report. Call it after all output was read, since annotations come from the output."""
            facts = {**attempt.facts, "outputs": attempt.outputs}
            if logs is not None and (annotations := logs.annotations) is not None:
                annotations.close()
                facts |= {"progress": annotations.progress, "remarks": annotations.remarks}
                facts["outputs"] = {**annotations.outputs, **attempt.outputs}
            return self._event(
                AttemptFinished,
                task,
                utc_now(),
                started_at=context.started_at,
                outcome=result.outcome,
                exit_code=result.exit_code,
                error=result.error,
                stdout=context.paths.stdout_whole,
                stderr=context.paths.stderr_whole,
                logs=last_chunks,
                **facts,
            )

        if why and logs is not None:
            self._reporter.later(task.token, map(log_message, logs.rest()), finished, why)
            reported = False
        else:
            reported = self._reporter.finish(finished())
        self._attempts.end(task.token, reported=reported)
        self._counters.add(f"finished.{result.outcome}")
        self._spans.attempt_over(task, context.run_span, context.started_at, result, context.inputs)

    def _report_progress(self, task: Task, annotations: Annotations) -> None:
        # Does not wait for the confirm: the end report contains progress and remarks too.
        facts = {"seq": annotations.version, "progress": annotations.progress, "remarks": annotations.remarks}
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
