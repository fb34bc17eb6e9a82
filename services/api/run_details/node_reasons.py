"""Computes why a node of a running run has not started, from the state at the time of the request."""

from collections.abc import Mapping
from datetime import datetime

from shared.admission.pools import Claim, PoolKey, PoolState, obstacle
from shared.admission.runs import no_worker
from shared.admission.workers import satisfies
from shared.language.model import Dag
from shared.store.reads.reader import NodeState, NodeWait, PoolRow, PoolUserRow, RunningWorker

__all__ = ["node_reason"]


def node_reason(
    dag: Dag | None,
    state: NodeState,
    pools: Mapping[tuple[str, str], PoolRow],
    workers: Mapping[str, RunningWorker],
    now: datetime,
) -> str:
    """Return what a node waits for, or an empty text if nothing; ``workers`` has those whose lease has not ended."""
    for wait in state.waits:
        if reason := _pool_reason(wait, pools[wait.pool]):
            return reason
    if state.waits:
        return "its turn in the pools"
    if state.retry_at is not None and state.retry_at > now:
        return f"its next attempt, not before {_moment(state.retry_at)}"
    if not state.dispatched:
        return ""
    if state.worker_id is not None:
        return f"worker {state.worker_id}" + ("" if state.worker_id in workers else ", which is not live")
    return _worker_reason(dag.worker_selector if dag else {}, workers)


def _worker_reason(selector: Mapping[str, str], workers: Mapping[str, RunningWorker]) -> str:
    """Return why no worker has taken a task for this selector. A worker that is draining is no capacity."""
    # Mostly the first worker fits: a run may have thousands of steps that wait for one of hundreds of workers.
    if any(not each.draining and satisfies(each.labels, selector) for each in workers.values()):
        return "a worker with a free slot"
    fitting = sorted(worker_id for worker_id, each in workers.items() if satisfies(each.labels, selector))
    if fitting:
        names = ", ".join(fitting)
        return f"a worker that takes new runs: {names} {'is' if len(fitting) == 1 else 'are'} draining"
    return str(no_worker(selector, ()) or "no live worker")


def _pool_reason(wait: NodeWait, pool: PoolRow) -> str:
    """Return why a node has no place in a pool, or an empty text if a place is free for it."""
    claim = Claim(PoolKey(*wait.pool), wait.limit, wait.interval_s)
    state = PoolState(pool.taken, pool.capacity, users=tuple(map(_named, pool.users)), free_at=pool.free_at)
    found = obstacle(claim, state, wait.ahead)
    return str(found) if found else ""


def _named(user: PoolUserRow) -> str:
    return f"{user.dag_name}/{user.dag_run_id} ({user.step})"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
