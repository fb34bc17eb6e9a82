"""Handle one task: report the start or ask for a grant, ack the task, run the attempt, report the end.

Guarantees: no command of the user runs before the broker has confirmed the report of the start, or a scheduler has
granted the attempt. An attempt whose start was reported or granted is followed by exactly one ``AttemptFinished`` or
``AttemptGivenUp``, unless the attempt was revoked (a scheduler would ignore the report) or the worker dies. In a chain,
the end report of one step is also the report of the start of the next.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from services.worker.attempt.chains import next_task
from services.worker.attempt.context import AttemptContext, Preparation
from services.worker.attempt.freshness import doubt_about
from services.worker.attempt.grants import Answer, Grants
from services.worker.attempt.registry import AttemptRegistry
from services.worker.attempt.runner import AttemptResult, AttemptRunner, broken
from services.worker.attempt.spans import AttemptSpans
from services.worker.output.annotations import Annotations
from services.worker.output.log_shipper import LogShipper, log_message
from services.worker.output.log_stream import LogStream
from services.worker.output.masking import Masker
from services.worker.process.outcome import Result
from services.worker.process.stop_request import StopKind, StopRequest
from services.worker.reporting.metrics import WorkerCounters
from services.worker.reporting.report_size import that_fits
from services.worker.reporting.reports import Reporter
from shared.clock import utc_now
from shared.contracts.events import (
    AttemptFinished,
    AttemptGivenUp,
    AttemptProgress,
    AttemptRequested,
    AttemptStarted,
    Doubt,
    Event,
    LogChunk,
    NextStart,
)
from shared.contracts.tasks import Task
from shared.errors import PublishUnconfirmed, Unavailable
from shared.log import bound, first_line
from shared.tracing import SpanContext, within
from shared.transport.base import BrokerQueue, Delivery, event_queue

__all__ = ["TaskHandler", "WorkerIdentity"]

_log = logging.getLogger(__name__)
E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """The sender of reports: the worker's id, and the incarnation, i.e. the process that has this id now."""

    worker_id: str
    incarnation: str


class TaskHandler:
    """Handles tasks. Thread-safe. ``heard`` returns whether schedulers have heard this worker lately."""

    def __init__(
        self,
        identity: WorkerIdentity,
        preparation: Preparation,
        *,
        runner: AttemptRunner,
        shipper: LogShipper,
        reporter: Reporter,
        attempts: AttemptRegistry,
        grants: Grants,
        heard: Callable[[], bool],
        counters: WorkerCounters,
        spans: AttemptSpans,
    ) -> None:
        self._identity = identity
        self._preparation = preparation
        self._runner = runner
        self._shipper = shipper
        self._reporter = reporter
        self._attempts = attempts
        self._grants = grants
        self._heard = heard
        self._counters = counters
        self._spans = spans

    def run(
        self, task: Task, stop: StopRequest, delivery: Delivery, run_span: SpanContext, *, kept: bool = False
    ) -> "Future[bool] | None":
        """Handle a task from its delivery to its end report; ``run_span`` is the parent of the attempt's span.

        ``kept``: the task waited at this worker for a slot. Does not wait for the confirm of the end report: returns
        the future with whose end the attempt is over (see ``Reporter.finish``), or ``None`` if it is over already.
        """
        with self._preparation.user_kept(task), closing(self._preparation.context(task, stop, run_span)) as context:
            doubt = self._doubt(task, redelivered=delivery.redelivered, kept=kept)
            if doubt is None:
                may_run = self._begin_at_once(context, delivery)
            else:
                may_run = self._begin_granted(context, doubt, delivery)
            if may_run:
                delivery.ack()
                return self._run_chain(context)
            return None

    def _doubt(self, task: Task, *, redelivered: bool, kept: bool = False) -> Doubt | None:
        return doubt_about(
            task,
            redelivered=redelivered,
            kept=kept,
            incarnation=self._identity.incarnation,
            heard=self._heard(),
            now=utc_now(),
        )

    def _begin_at_once(self, context: AttemptContext, delivery: Delivery) -> bool:
        """Report the start and prepare the attempt; return whether it may run. If not, the delivery is settled."""
        task, paths = context.task, context.paths
        started = self._event(
            AttemptStarted, task, context.started_at, stdout=paths.stdout_whole, stderr=paths.stderr_whole
        )
        confirm = self._reporter.send(started, event_queue(task.reports_to))
        # Prepared while the start report waits for its confirm; no command of the user runs before the confirm.
        self._preparation.prepare(context)
        try:
            confirm.result()
        except Unavailable as error:
            _log.warning("attempt.start_unconfirmed", extra={"token": task.token, "error": str(error)})
            if isinstance(error, PublishUnconfirmed):
                self._give_up(task)
                delivery.retry()
            else:
                self._return_task(task, delivery)
            return False
        # If the confirm took long, a scheduler may have sent the task again before it could hear of the start. If the
        # connection was lost, the broker may have delivered the task to another worker.
        doubt = self._doubt(task, redelivered=not delivery.held)
        return doubt is None or self._granted(context, doubt, delivery)

    def _begin_granted(self, context: AttemptContext, doubt: Doubt, delivery: Delivery) -> bool:
        """Ask for the attempt, then prepare it; return whether it may run. If not, the delivery is settled."""
        if not self._granted(context, doubt, delivery):
            return False
        context.started_at = utc_now()
        self._preparation.prepare(context)
        return True

    def _granted(self, context: AttemptContext, doubt: Doubt, delivery: Delivery) -> bool:
        """Ask a scheduler whether the attempt may run, and wait. If it may not, settle the delivery."""
        task, paths = context.task, context.paths

        def request(waited_s: float) -> AttemptRequested:
            facts = {"stdout": paths.stdout_whole, "stderr": paths.stderr_whole}
            return self._event(AttemptRequested, task, utc_now(), doubt=str(doubt), waited_s=waited_s, **facts)

        _log.info("attempt.requested", extra={"token": task.token, "why": str(doubt)})
        redelivered = doubt is Doubt.REDELIVERED
        answer = self._grants.ask(
            task.token, context.stop, request, event_queue(task.reports_to), redelivered=redelivered
        )
        self._counters.add(f"asked.{answer.value}")
        if answer is Answer.GRANTED:
            return True
        _log.info("attempt.not_granted", extra={"token": task.token, "answer": answer.value})
        if answer is Answer.REFUSED:
            self._attempts.end(task.token, reported=True)
            delivery.ack()
        elif redelivered and context.stop.kind is StopKind.STOP:
            # A scheduler ignores it if another worker runs the attempt.
            reported = self._reporter.finish(self.refuse(task), event_queue(task.reports_to)).result()
            self._attempts.end(task.token, reported=reported)
            delivery.ack()
        elif answer is Answer.NONE:
            self._give_up(task, doubt)
            delivery.retry()
        else:
            self._return_task(task, delivery, doubt)
        return False

    def _return_task(self, task: Task, delivery: Delivery, doubt: Doubt | None = None) -> None:
        """Return a task of which no scheduler has heard from this worker."""
        if delivery.held:
            self._attempts.drop(task.token)
        else:
            # The broker has delivered the task again, perhaps to this worker, which took it for a copy.
            self._give_up(task, doubt)
        delivery.retry()

    def _give_up(self, task: Task, doubt: Doubt | None = None) -> None:
        """Report that the attempt does not run here. A scheduler may believe that this worker runs it."""
        event = self._event(AttemptGivenUp, task, utc_now(), doubt=str(doubt or ""))
        reported = self._reporter.finish(event, event_queue(task.reports_to)).result()
        self._attempts.end(task.token, reported=reported)

    def refuse(self, task: Task) -> AttemptFinished:
        """Return the end report of an attempt that was stopped before its task arrived."""
        now = utc_now()
        return self._event(AttemptFinished, task, now, started_at=now, outcome="aborted", exit_code=-1)

    def _run_chain(self, context: AttemptContext) -> "Future[bool] | None":
        """Run the attempt, then the next steps of its chain that begin at once; return what ``run`` returns."""
        following = self._run_attempt(context)
        while isinstance(following, AttemptContext):
            current = following
            task = current.task
            facts = {"step": task.step.name, "token": task.token}
            with closing(current), bound(**facts), within(current.run_span.child(task.token)):
                _log.info("attempt.goes_on")
                try:
                    following = self._run_attempt(current)
                except BaseException:
                    self._attempts.drop(task.token)
                    raise
        return following

    def _ended(self, token: str, reported: "Future[bool]") -> None:
        """Record that an attempt is over: its end report is confirmed or spooled. Never blocks."""
        if (error := reported.exception()) is None:
            self._attempts.end(token, reported=reported.result())
        else:
            # The lease of the attempt expires, so its run does not hang.
            _log.error("attempt.not_reported", extra={"token": token, "error": str(error)}, exc_info=error)
            self._attempts.drop(token)

    def _run_attempt(self, context: AttemptContext) -> "AttemptContext | Future[bool] | None":
        """Run the attempt and report its end; return the next step of the chain if it begins at once.

        Otherwise, return what ``run`` returns.
        """
        task, stop, files, inputs = context.task, context.stop, context.files, context.inputs
        masker = Masker(inputs.hidden if inputs else ())

        def follow_logs(streams: tuple[LogStream, ...]) -> None:
            report, end = partial(self._report_progress, task), partial(stop.request, StopKind.DISK)
            context.logs = self._shipper.follow(streams, report, end)

        try:
            if context.error:
                attempt = AttemptResult(context.failure())
            elif files is None or inputs is None:
                attempt = self._runner.prepare(task, stop, context.passed)
            else:
                context.note(f"attempt {task.number} started")
                attempt = self._runner.execute(task, stop, inputs, files, masker=masker, follow_logs=follow_logs)
        except Exception as error:  # noqa: BLE001 - any error becomes the outcome
            attempt = AttemptResult(broken(task, error, masker))
        logs = context.logs
        if logs is not None:
            self._shipper.leave(logs)
        if files is not None:
            files.keep(masker)
        if stop.kind is StopKind.REVOKED:
            if logs is not None:
                logs.abandon()
            self._attempts.end(task.token, reported=True)
            _log.info("attempt.over", extra={"outcome": "revoked"})
            return None
        following = self._report(context, attempt)
        context.note(attempt.result.outcome)
        return following

    def _report(self, context: AttemptContext, attempt: AttemptResult) -> "AttemptContext | Future[bool] | None":
        task, result, logs = context.task, attempt.result, context.logs
        shutdown = context.stop.kind is StopKind.SHUTDOWN and result.outcome == "broken"
        last_chunks: tuple[LogChunk, ...] = ()
        not_sent = ""
        try:
            last_chunks = logs.finish() if logs is not None else ()
        except Unavailable as error:
            not_sent = str(error)
        except OSError as error:
            result = Result("failed", result.exit_code or 1, f"the step's output could not be read: {error}")
        if logs is not None and logs.cut_why:
            _log.error("output.cut", extra={"bytes": logs.sizes, "why": logs.cut_why, "next": "free disk space"})
            result = result.hinted(f"its output was cut, because {logs.cut_why}: print less, or free disk space")

        def finished() -> AttemptFinished:
            """Make the end report. Call it after all output was read, since annotations come from the output."""
            facts = _end_facts(context, replace(attempt, result=result))
            return that_fits(
                self._event(AttemptFinished, task, utc_now(), logs=last_chunks, shutdown=shutdown, **facts)
            )

        to = event_queue(task.reports_to)
        following: AttemptContext | Future[bool] | None = None
        if not_sent and logs is not None:
            chunks = map(log_message, logs.rest())
            reported = self._reporter.spool_with_logs(task.token, chunks, finished, not_sent, to)
            self._attempts.end(task.token, reported=reported)
        else:
            event = finished()
            result = Result(event.outcome, event.exit_code, event.error)
            next_step = self._next_in_chain(context, event)
            if next_step is not None:
                following = self._go_on(next_step, event, to)
            else:
                following = self._reporter.finish(event, to)
                following.add_done_callback(partial(self._ended, task.token))
        self._counters.add(f"finished.{result.outcome}")
        failed = {"exit_code": result.exit_code, "error": first_line(result.error)} if result.error else {}
        _log.info("attempt.over", extra={"outcome": result.outcome, **failed})
        self._spans.attempt_over(task, context.run_span, context.started_at, result, context.inputs)
        return following

    def _next_in_chain(self, context: AttemptContext, ended: AttemptFinished) -> AttemptContext | None:
        """Return the next step of the chain, registered to run here; ``None`` if a scheduler decides what follows."""
        now = utc_now()
        task = next_task(context.given, ended, held_s=time.monotonic() - context.chain_since_s, now=now)
        if task is None or self._doubt(task, redelivered=False) is not None:
            return None
        stop = self._attempts.go_on(ended.token, task.token)
        if stop is None:
            return None
        return self._preparation.context(task, stop, context.run_span, chain_since_s=context.chain_since_s)

    def _go_on(self, following: AttemptContext, ended: AttemptFinished, to: BrokerQueue) -> AttemptContext | None:
        """Report the end of a step together with the start of the next one; return the next one if it may run.

        Guarantee: the next step begins only if the broker has confirmed the report. Otherwise it is given up.
        """
        task, paths = following.task, following.paths
        start = NextStart(
            token=task.token, at=following.started_at, stdout=paths.stdout_whole, stderr=paths.stderr_whole
        )
        confirm = self._reporter.send(ended.model_copy(update={"next_start": start}), to)
        self._preparation.prepare(following)
        try:
            confirm.result()
        except Unavailable as error:
            # The report may have arrived all the same, with the start.
            given_up = self._event(AttemptGivenUp, task, utc_now())
            following.close()
            try:
                reported = self._reporter.spool_events(ended.token, (ended, given_up), str(error), to)
            except BaseException:
                self._attempts.drop(task.token)
                raise
            self._attempts.end(ended.token, reported=reported, given_up=task.token)
            return None
        self._attempts.end(ended.token, reported=True)
        # If the confirm took long, a scheduler may have sent another task for the step.
        if self._doubt(task, redelivered=False) is None:
            return following
        following.close()
        self._give_up(task)
        return None

    def _report_progress(self, task: Task, annotations: Annotations) -> None:
        # Does not wait for the confirm: the end report contains progress and remarks too.
        facts = {"seq": annotations.version, "progress": annotations.progress, "remarks": annotations.remarks}
        self._reporter.send(self._event(AttemptProgress, task, utc_now(), **facts), event_queue(task.reports_to))

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


def _end_facts(context: AttemptContext, attempt: AttemptResult) -> dict[str, Any]:
    """Return the fields of ``AttemptFinished`` that tell how an attempt ended and what its output says."""
    logs, outputs, said = context.logs, attempt.outputs, dict[str, Any]()
    if logs is not None:
        said["log_bytes"] = logs.sizes
    if logs is not None and (annotations := logs.annotations) is not None:
        annotations.close()
        said |= {"progress": annotations.progress, "remarks": annotations.remarks}
        outputs = {**annotations.outputs, **outputs}
    return {
        **attempt.facts,
        **said,
        "outputs": outputs,
        "started_at": context.started_at,
        "outcome": attempt.result.outcome,
        "exit_code": attempt.result.exit_code,
        "error": attempt.result.error,
        "stdout": context.paths.stdout_whole,
        "stderr": context.paths.stderr_whole,
    }
