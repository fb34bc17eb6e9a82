"""Reads the state that runs and nodes which do not go on depend on, and returns why they wait."""

from collections.abc import Sequence
from datetime import datetime

from services.api.deps import Deps
from services.api.run_details.idle import idle_reasons
from services.api.run_details.node_reasons import node_reason
from services.api.run_details.reasons import queued_reasons
from shared.contracts.tasks import STEP
from shared.language.model import Dag
from shared.status import NodeStatus, RunStatus
from shared.store.reads.reader import RunRow

__all__ = ["nodes_wait_for", "runs_wait_for"]

_RETRY = "a retry, because the status of the step that waited for approval was set by hand"


def runs_wait_for(deps: Deps, runs: Sequence[RunRow], now: datetime) -> dict[str, str]:
    """Return, by run key, what the runs in ``runs`` wait for that are queued, or running without a running step.

    And of those whose nodes were read, what one waits for that has no question left.
    """
    queued = queued_reasons(deps, [run for run in runs if run.status is RunStatus.QUEUED], now)
    return {**idle_reasons(deps, runs, now), **queued, **{run.run_key: _RETRY for run in runs if _asks_nothing(run)}}


def _asks_nothing(run: RunRow) -> bool:
    """Return whether a person has set the status of each step that waited for approval."""
    nodes = run.nodes or ()
    waits = any(node.status is NodeStatus.WAITING for node in nodes)
    return run.status is RunStatus.WAITING and bool(nodes) and not waits


def nodes_wait_for(deps: Deps, run: RunRow, dag: Dag | None, now: datetime) -> dict[int, str]:
    """Return, by node index, what the waiting nodes of a running run wait for."""
    if run.status is not RunStatus.RUNNING:
        return {}
    found = _for_queued_sub_runs(deps, run, now)
    states = deps.reads.node_states(run)
    if not states:
        return found
    pools = deps.reads.pools(now, {wait.pool for state in states.values() for wait in state.waits})
    workers = deps.reads.running_workers(now) if any(state.dispatched for state in states.values()) else {}
    reasons = {idx: node_reason(dag, state, pools, workers, now) for idx, state in states.items()}
    return found | {idx: reason for idx, reason in reasons.items() if reason}


def _for_queued_sub_runs(deps: Deps, run: RunRow, now: datetime) -> dict[int, str]:
    """Return, by node index of each step that called sub-runs, what its first queued sub-run waits for."""
    steps = [node for node in run.nodes or () if node.kind == STEP and node.children]
    if not steps:
        return {}
    callers: dict[str, list[int]] = {}
    for node in steps:
        for run_id in {run_id for run_id, _ in node.children}:
            callers.setdefault(run_id, []).append(node.idx)
    called = deps.reads.sub_runs(run.root_key or run.run_key, run.run_key)
    queued = sorted(
        (child for child in called if child.status is RunStatus.QUEUED),
        key=lambda child: child.queued_at or child.created_at,
    )
    by_caller: dict[int, list[RunRow]] = {}
    for child in queued:
        for idx in callers.get(child.dag_run_id, ()):
            by_caller.setdefault(idx, []).append(child)
    reasons = queued_reasons(deps, queued, now)
    found: dict[int, str] = {}
    for idx, (first, *others) in by_caller.items():
        more = f", and {len(others)} more {'is' if len(others) == 1 else 'are'} queued" if others else ""
        found[idx] = f"run {first.dag_run_id} of {first.dag_name}, which waits for: {reasons[first.run_key]}{more}"
    return found
