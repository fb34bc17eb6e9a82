"""Says what running runs wait for in which no attempt runs: a lock, a pool, a rate limit, a worker, a queue."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from services.api.deps import Deps
from services.api.run_details.node_reasons import node_reason
from services.api.run_details.reasons import queued_reasons
from services.api.run_details.specs import dags_of_runs
from shared.status import RunStatus
from shared.store.reads.reader import NodeRow, RunRow

__all__ = ["idle_reasons"]

_BEGINS_WITHIN = timedelta(seconds=2)
"""A task that was sent more recently is taken to be on its way to a worker with a free slot."""


def idle_reasons(deps: Deps, runs: Sequence[RunRow], now: datetime) -> Mapping[str, str]:
    """Return, by run key, what each running root run in ``runs`` waits for, if none of its steps runs."""
    sent_before = now - _BEGINS_WITHIN
    running = [run for run in runs if run.status is RunStatus.RUNNING and run.parent is None]
    asked = [run.run_key for run in running if _may_be_idle(run, sent_before)]
    idle = deps.reads.idle_runs(asked, sent_before) if asked else {}
    if not idle:
        return {}
    places = deps.reads.runs_at_any_depth(place.run_key for place in idle.values())
    queued = queued_reasons(deps, [run for run in places.values() if run.status is RunStatus.QUEUED], now)
    states = deps.reads.node_states_of(place.run_key for place in idle.values() if place.node is not None)
    every = [state for nodes in states.values() for state in nodes.values()]
    pools = deps.reads.pools(now, {wait.pool for state in every for wait in state.waits})
    workers = deps.reads.running_workers(now) if any(state.dispatched for state in every) else {}
    dags = dags_of_runs(deps, places.values())
    found = {}
    for root_key, place in idle.items():
        run = places.get(place.run_key)
        if run is None:
            continue
        if place.node is None:
            where, reason = f"run {run.dag_run_id} of {run.dag_name}", queued.get(run.run_key, "")
        else:
            state = states.get(run.run_key, {}).get(place.node)
            reason = node_reason(dags[run.run_key], state, pools, workers, now) if state else ""
            where = f"step {state.name}" if state else ""
            where += f" of {run.dag_name}" if run.run_key != root_key else ""
        if reason:
            more = f", and {place.others} more" if place.others else ""
            found[root_key] = f"{where}: {reason}{more}"
    return found


def _may_be_idle(run: RunRow, sent_before: datetime) -> bool:
    """Whether ``idle_runs`` may find a running run, as far as its nodes tell: they spare most runs the query.

    Without nodes, or with sub-runs, they do not tell.
    """
    if run.nodes is None:
        return True
    if any(node.token_state == "running" for node in run.nodes):
        return False
    return any(node.children or _waits(node, sent_before) for node in run.nodes)


def _waits(node: NodeRow, sent_before: datetime) -> bool:
    if node.token_state == "dispatched" and node.admission != "waits" and node.retry_at is None:
        return node.dispatched_at is not None and node.dispatched_at < sent_before
    return node.waits_for_something
