"""Computes why a node of a running run has not started, from the state at the time of the request."""

from collections.abc import Mapping
from datetime import datetime

from services.api.run_details.reasons import no_worker
from shared.admission.pools import Claim, PoolKey, PoolState, obstacle
from shared.language.model import Dag
from shared.store.reads.reader import NodeState, NodeWait, PoolRow, PoolUserRow

__all__ = ["node_reason", "pool_reason"]


def node_reason(
    dag: Dag | None,
    state: NodeState,
    pools: Mapping[tuple[str, str], PoolRow],
    workers: Mapping[str, Mapping[str, str]],
    now: datetime,
) -> str:
    """Return what a node waits for, or an empty text if nothing; ``workers`` has the labels of live workers by id."""
    for wait in state.waits:
        if reason := pool_reason(wait, pools[wait.pool]):
            return reason
    if state.waits:
        return "its turn"
    if state.retry_at is not None and state.retry_at > now:
        return f"its next try, not before {_moment(state.retry_at)}"
    if not state.dispatched:
        return ""
    if state.worker_id is not None:
        return f"worker {state.worker_id}" + ("" if state.worker_id in workers else ", which is not there")
    return no_worker(dag, list(workers.values())) or "a worker with a free slot"


def pool_reason(wait: NodeWait, pool: PoolRow) -> str:
    """Return why a node has no place in a pool, or an empty text if a place is free for it."""
    claim = Claim(PoolKey(*wait.pool), wait.limit, wait.interval_s)
    state = PoolState(pool.taken, pool.capacity, users=tuple(map(_named, pool.users)), free_at=pool.free_at)
    found = obstacle(claim, state, wait.ahead)
    return str(found) if found else ""


def _named(user: PoolUserRow) -> str:
    return f"{user.dag_name}/{user.dag_run_id} ({user.step})"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
