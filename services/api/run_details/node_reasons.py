"""Why a node of a running run has not started, computed from facts of the moment it is asked."""

from collections.abc import Mapping
from datetime import datetime

from services.api.run_details.reasons import no_worker
from shared.language.model import Dag
from shared.store.reads.reader import NodeState, NodeWait, PoolRow, PoolUserRow

__all__ = ["node_reason", "pool_reason"]

_NAMED = 5


def node_reason(
    dag: Dag | None,
    state: NodeState,
    pools: Mapping[tuple[str, str], PoolRow],
    workers: Mapping[str, Mapping[str, str]],
    now: datetime,
) -> str:
    """Return why a node has not started, empty if it can; ``workers`` are the labels of the live ones, by id."""
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
    """Return why a node has no place in a pool, or nothing if it could have one."""
    capacity = wait.limit if pool.kind == "rate" else pool.capacity
    name = f"rate limit {pool.name}" if pool.kind == "rate" else f"{pool.kind} {pool.name}"
    if pool.taken < capacity:
        # Those before it are entitled to the free places.
        return f"its turn for {name}, behind {wait.ahead} more" if wait.ahead >= capacity - pool.taken else ""
    if pool.kind == "lock":
        return f"{name}, held by {_named(pool.users[0])}" if pool.users else f"{name}, which is held"
    if pool.kind == "rate":
        until = f": not before {_moment(pool.free_at)}" if pool.free_at else ""
        return f"{name} ({wait.limit} starts in {wait.interval_s:g} s){until}"
    who = ", ".join(_named(user) for user in pool.users[:_NAMED])
    more = f" and {pool.taken - _NAMED} more" if pool.taken > _NAMED else ""
    return f"{name} is full ({pool.taken}/{capacity}): {who}{more}"


def _named(user: PoolUserRow) -> str:
    return f"{user.dag_name}/{user.dag_run_id} ({user.step})"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
