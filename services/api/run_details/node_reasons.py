"""Why a node of a running run has not started, computed from facts of the moment it is asked."""

from datetime import datetime
from typing import Any

from services.api.operations import Call
from services.api.representations import run_json
from services.api.run_details.called_runs import add_repeated
from services.api.run_details.reasons import add_reasons, no_worker
from shared.language.model import Dag, Handler
from shared.status import RunStatus
from shared.store.reads.reader import NodeState, NodeWait, PoolRow, PoolUserRow, RunRow

__all__ = ["pool_reason", "run_details"]

_NAMED = 5


def run_details(call: Call, run: RunRow) -> dict[str, Any]:
    """Return a run with its nodes, and what it and each of them waits for."""
    dag = call.deps.run_models([run])[run.run_key]
    shown = run_json.details(run, dag, call.deps.zone)
    add_reasons(call, [run], [shown])
    add_repeated(call, run, shown)
    if run.status is not RunStatus.RUNNING:
        return shown
    _add_children(call, run, shown)
    if not (states := call.deps.reads.node_states(run.run_key)):
        return shown
    pools = call.deps.reads.pools(call.now, {wait.pool for state in states.values() for wait in state.waits})
    names = {node.name: node.idx for node in run.nodes or ()}
    for item in [*shown["nodes"], *(shown[handler.value] for handler in Handler if handler.value in shown)]:
        state = states.get(names.get(item["step"]["name"], -1))
        if state is not None and (reason := _reason(call, dag, state, pools)):
            item["waitingFor"] = reason
    return shown


def _add_children(call: Call, run: RunRow, shown: dict[str, Any]) -> None:
    """Tell of each node whose called runs are queued what the first of them waits for."""
    calling = {node.name: {run_id for run_id, _ in node.children} for node in run.nodes or () if node.children}
    if not calling:
        return
    called = call.deps.reads.sub_runs(run.root_key or run.run_key, run.run_key)
    queued = [child for child in called if child.status is RunStatus.QUEUED]
    queued.sort(key=lambda child: child.queued_at or child.created_at)
    reasons: list[dict[str, Any]] = [{} for _ in queued]
    add_reasons(call, queued, reasons)
    for item in shown["nodes"]:
        mine = [
            (child, reason["waitingFor"])
            for child, reason in zip(queued, reasons, strict=True)
            if child.dag_run_id in calling.get(item["step"]["name"], ())
        ]
        if mine:
            first, reason = mine[0]
            others = len(mine) - 1
            more = f", and {others} more {'is' if others == 1 else 'are'} queued" if others else ""
            item["waitingFor"] = f"run {first.dag_run_id} of {first.dag_name}, which waits for: {reason}{more}"


def _reason(call: Call, dag: Dag | None, state: NodeState, pools: dict[tuple[str, str], PoolRow]) -> str:
    for wait in state.waits:
        if reason := pool_reason(wait, pools[wait.pool]):
            return reason
    if state.waits:
        return "its turn"
    if state.retry_at is not None and state.retry_at > call.now:
        return f"its next try, not before {_moment(state.retry_at)}"
    if not state.dispatched:
        return ""
    workers = call.deps.reads.live_workers(call.now)
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
