"""Spans that schedulers send: of commands, waits in queues, runs and lost attempts.

All spans of a run belong to the trace of the request that started it, across retries and schedulers: its context is
stored in the run's row. A scheduled run begins its own trace.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.scheduler.core.decision import ClosedAttempt
from services.scheduler.core.model import Run
from shared.contracts.codec import Envelope, encode
from shared.contracts.commands import CommandReply
from shared.contracts.control import RunTraced, worker_topic
from shared.ids import new_run_id
from shared.log import first_line
from shared.spans import Span, recording, send
from shared.status import NodeStatus
from shared.tracing import SpanContext, within

__all__ = [
    "Traced",
    "asked_in",
    "command_context",
    "lost_span",
    "publish",
    "run_span",
    "trace_commands",
    "trace_reports",
    "waited_span",
]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Traced:
    """The spans of one transaction, sent after its commit."""

    spans: list[Span] = field(default_factory=list)
    ended: list[tuple[Span, Run]] = field(default_factory=list)
    """The span of each run that ended."""


def asked_in(trace: str, run_key: str) -> SpanContext:
    """Return the trace context of the request that started a run; ``trace`` is the column of the run's row."""
    return SpanContext.parse(trace) or SpanContext.named(run_key)


def command_context(envelope: Envelope) -> SpanContext:
    """Return the span context of a command. It is the same for every delivery of the command."""
    asked = SpanContext.parse(envelope.trace)
    return SpanContext.named(envelope.id) if asked is None else asked.child(envelope.id)


def _command_span(envelope: Envelope, reply: CommandReply, began_at: datetime, ended_at: datetime) -> Span:
    """Return the span of a command that was carried out or refused."""
    facts = {"dagway.command_id": envelope.id, "dagway.outcome": reply.outcome}
    if run_id := getattr(envelope.body, "dag_run_id", ""):
        facts["dag.run_id"] = run_id
    error = reply.error.code if reply.error is not None else ""
    parent = SpanContext.parse(envelope.trace)
    return Span(envelope.type, command_context(envelope), parent, began_at, ended_at, "consumer", facts, error)


def waited_span(run: Run, asked: SpanContext, now: datetime) -> Span:
    """Return the span of a run's time in its queue."""
    context = asked.child(f"{run.run_key}#{run.run_attempt} queued")
    return Span(f"Queue: {run.queue}", context, asked, run.queued_at or now, now, attributes=_of(run))


def run_span(run: Run, asked: SpanContext, now: datetime, parent: tuple[str, str] | None) -> Span:
    """Return the span of a run that has just ended; ``parent``: DAG name and run id of the parent run.

    Span names and ``dag.*`` attributes are the same as in Dagu's traces.
    """
    facts = _of(run) | {"dag.status": str(run.status), "dagway.run_attempt": run.run_attempt}
    if parent is not None:
        facts["dag.parent_name"], facts["dag.parent_run_id"] = parent
    error = "" if run.status.successful or run.status.active else run.error or str(run.status)
    context = asked.of_run(run.run_key, run.run_attempt)
    return Span(f"DAG: {run.dag_name}", context, asked, run.started_at or now, now, "internal", facts, error)


def lost_span(run: Run, asked: SpanContext, closed: ClosedAttempt, now: datetime) -> Span:
    """Return the span of a lost attempt, which its worker can no longer send."""
    of_run = asked.of_run(run.run_key, closed.run_attempt)
    facts = _of(run) | {"step.name": run.nodes[closed.node].name, "step.status": "lost", "dagway.token": closed.token}
    facts["dagway.worker_id"] = closed.worker_id or ""
    name = f"Step: {run.nodes[closed.node].name}"
    start = closed.started_at or closed.dispatched_at
    return Span(name, of_run.child(closed.token), of_run, start, now, "consumer", facts, closed.error)


def _of(run: Run) -> dict[str, str | int]:
    return {"dag.name": run.dag_name, "dag.run_id": run.dag_run_id}


def publish(traced: Traced, notify: Callable[[str, bytes], None], now: datetime) -> None:
    """Log and send the spans of a committed transaction.

    If the DAG's spec names a trace collector, the run's worker sends the span there, because only workers connect to
    addresses from specs. ``notify`` passes the span to the worker; that message may be lost, like any span.
    """
    for span, run in traced.ended:
        with within(span.context):
            facts = {"dag": run.dag_name, "run_id": run.dag_run_id, "status": str(run.status)}
            _log.info("run.ended", extra=facts | _why(run))
        send(span)
        if run.worker_id is not None and (run.plan.dag.otel or {}).get("enabled"):
            message = _run_traced(span, run)
            notify(worker_topic(run.worker_id), encode(message, id=new_run_id(), at=now, trace=str(span.context)))
    for span in traced.spans:
        send(span)


def _why(run: Run) -> dict[str, str]:
    """Return why a run did not succeed: its own error, or that of the first step that failed."""
    if run.status.successful:
        return {}
    if run.error:
        return {"error": first_line(run.error)}
    failed = next((node for node in run.nodes if node.status is NodeStatus.FAILED), None)
    return {} if failed is None else {"step": failed.name, "error": first_line(failed.error)}


def _run_traced(span: Span, run: Run) -> RunTraced:
    attributes: Mapping[str, Any] = span.attributes
    return RunTraced(
        run_key=run.run_key,
        name=span.name,
        parent=str(span.parent or ""),
        start=span.start,
        end=span.end,
        attributes={name: str(value) for name, value in attributes.items()},
        error=span.error,
    )


def trace_commands(pairs: Iterable[tuple[Envelope, CommandReply]], began_at: datetime, ended_at: datetime) -> None:
    """Log commands that were carried out or refused, and send their spans."""
    for envelope, reply in pairs if recording() or _log.isEnabledFor(logging.INFO) else ():
        facts = {"command_id": envelope.id, "type": envelope.type, "outcome": reply.outcome}
        facts["run_id"] = str(getattr(envelope.body, "dag_run_id", "") or "")
        with within(command_context(envelope)):
            _log.info("command.recorded", extra=facts | {"request_id": envelope.request or ""})
        if recording():
            send(_command_span(envelope, reply, began_at, ended_at))


def trace_reports(envelopes: Iterable[Envelope], began_at: datetime, ended_at: datetime) -> None:
    """Send the spans of recorded reports, each a child of its attempt's span."""
    for envelope in envelopes if recording() else ():
        if (attempt := SpanContext.parse(envelope.trace)) is not None:
            send(Span(f"record {envelope.type}", attempt.child(), attempt, began_at, ended_at, "consumer"))
