"""Says why queued runs and a schedule wait, from the state at the time of the request."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from services.api.deps import Deps
from services.api.representations import json_values
from services.api.run_details.specs import dags_of_runs
from shared.admission import runs as admission
from shared.language.model import Dag
from shared.store.reads.reader import DagRow, PauseRow, RunRow, WaitFacts

__all__ = ["dag_reason", "queued_reasons"]


def queued_reasons(deps: Deps, queued: Sequence[RunRow], now: datetime) -> dict[str, str]:
    """Return, by run key, what each of these queued runs waits for."""
    if not queued:
        return {}
    facts = deps.reads.wait_facts([run.run_key for run in queued], [run.queue for run in queued], now)
    dags = dags_of_runs(deps, queued)
    return {run.run_key: _waiting_for(run, dags[run.run_key], facts, now) for run in queued}


def _waiting_for(run: RunRow, dag: Dag | None, facts: WaitFacts, now: datetime) -> str:
    """Return the first obstacle to the admission of a queued run."""
    moment = admission.Moment(now, facts.labels, [_open_pause(pause) for pause in facts.pauses], facts.reserved)
    queue = facts.queues[run.queue]
    capacity = admission.capacity_of(queue.limit, dag.max_active_runs if dag else 1)
    state = admission.QueueState(run.queue, capacity, queue.running_count, queue.running)
    hold = facts.holds.get(run.run_key)
    queued = admission.QueuedRun(
        run.run_key,
        run.queued_at or run.created_at,
        run.priority,
        selector=dag.worker_selector if dag else {},
        queue=run.queue,
        file_name=run.file_name or "",
        is_root=run.root_key in {"", None, run.run_key},
        not_before=hold.not_before if hold else None,
        after=(hold.after if hold else None) or "",
        after_status=hold.after_status if hold else None,
        after_finished_at=hold.after_finished_at if hold else None,
        wait_s=hold.wait_s if hold else 0,
    )
    return str(admission.explain(queued, moment, state, borrows=run.run_key in facts.borrowers, quota=facts.quota))


def dag_reason(dag: DagRow, pauses: Sequence[PauseRow], zone: tzinfo | None) -> str:
    """Return why nothing starts a run of a DAG now, or an empty text if the DAG has no schedule and no errors."""
    if dag.errors:
        return "its spec has errors"
    for pause in pauses:
        if pause.scope == "global":
            return str(_open_pause(pause))
        if pause.scope == "dag" and pause.name == dag.file_name:
            return f"paused by {pause.paused_by}{f' ({pause.reason})' if pause.reason else ''}"
    if dag.next_start_at is None:
        return ""
    if dag.suspended:
        return "suspended: its schedule starts nothing"
    return f"not before {json_values.timestamp(dag.next_start_at, zone)}"


def _open_pause(pause: PauseRow) -> admission.OpenPause:
    return admission.OpenPause(pause.scope, pause.name, pause.paused_by, pause.reason)
