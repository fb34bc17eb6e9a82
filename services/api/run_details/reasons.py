"""Why a queued run waits, computed from facts of the moment it is asked."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from services.api.operations import Call
from services.api.representations import json_values
from shared.language.model import Dag
from shared.status import RunStatus
from shared.store.reads.reader import DagRow, PauseRow, RunRow, WaitFacts

__all__ = ["add_reasons", "dag_reason", "no_worker", "waiting_for"]


def waiting_for(run: RunRow, dag: Dag | None, facts: WaitFacts, now: datetime) -> str:
    """Return what a queued run waits for; the first obstacle that admission would meet is named."""
    for pause in facts.pauses:
        if pause.scope == "global":
            return f"paused by {pause.paused_by}: everything{_why(pause.reason)}"
        if pause.scope == "queue" and pause.name == run.queue:
            return f"paused by {pause.paused_by}: queue {run.queue}{_why(pause.reason)}"
        if pause.scope == "dag" and pause.name == run.file_name:
            return f"paused by {pause.paused_by}: DAG {pause.name}{_why(pause.reason)}"
    hold = facts.holds.get(run.run_key)
    if hold is not None:
        if hold.after_status in {"running", "queued"}:
            return f"the end of run {hold.after}, which is {hold.after_status}"
        if hold.not_before is not None and hold.not_before > now:
            return f"not before {hold.not_before.isoformat()}"
    if reason := no_worker(dag, facts.labels):
        return reason
    queue = facts.queues.get(run.queue)
    if queue is not None:
        limit = max(1, queue.limit if queue.limit is not None else (dag.max_active_runs if dag else 1))
        if queue.running_count >= limit:
            more = queue.running_count - len(queue.running)
            who = ", ".join(queue.running) + (f" and {more} more" if more > 0 else "")
            return f"queue {run.queue} is full ({queue.running_count}/{limit}): {who}"
    return f"its turn in queue {run.queue}"


def no_worker(dag: Dag | None, labels: Sequence[Mapping[str, str]]) -> str:
    """Return that no live worker has the labels a dag asks for, if that is so; ``labels`` are theirs."""
    selector = dag.worker_selector if dag else {}
    if any(selector.items() <= each.items() for each in labels):
        return ""
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return f"no live worker with labels {wanted}" if selector else ""


def dag_reason(dag: DagRow, pauses: Sequence[PauseRow], zone: tzinfo | None) -> str:
    """Return why a dag's schedule starts nothing now; nothing where it has none."""
    for pause in pauses:
        if pause.scope == "global":
            return f"paused by {pause.paused_by}: everything{_why(pause.reason)}"
        if pause.scope == "dag" and pause.name == dag.file_name:
            return f"paused by {pause.paused_by}{_why(pause.reason)}"
    if dag.next_start_at is None:
        return ""
    if dag.suspended:
        return "suspended: its schedule starts nothing"
    return f"not before {json_values.timestamp(dag.next_start_at, zone)}"


def _why(reason: str) -> str:
    return f" ({reason})" if reason else ""


def add_reasons(call: Call, runs: Sequence[RunRow], shown: Sequence[dict[str, Any]]) -> None:
    """Add ``waitingFor`` to those of ``shown`` whose run is queued; both are in the same order."""
    queued = [run for run in runs if run.status is RunStatus.QUEUED]
    if not queued:
        return
    facts = call.deps.reads.wait_facts([run.run_key for run in queued], [run.queue for run in queued], call.now)
    models: Mapping[str, Dag | None] = call.deps.run_models(queued)
    for run, item in zip(runs, shown, strict=True):
        if run.status is RunStatus.QUEUED:
            item["waitingFor"] = waiting_for(run, models[run.run_key], facts, call.now)
