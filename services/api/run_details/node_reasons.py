"""Why a node of a running run has not started, computed from the facts at the moment of the request."""

from datetime import datetime
from typing import Any

from services.api.operations import Call
from services.api.representations import run_json
from services.api.run_details.called_runs import add_repeated
from services.api.run_details.reasons import add_reasons, no_worker
from shared.admission.pools import Claim, PoolKey, PoolState, obstacle
from shared.language.model import Dag, Handler
from shared.status import RunStatus
from shared.store.reads.reader import NodeState, NodeWait, Pool, PoolUser, Run

__all__ = ["pool_reason", "run_details"]


def run_details(call: Call, run: Run) -> dict[str, Any]:
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


def _add_children(call: Call, run: Run, shown: dict[str, Any]) -> None:
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


def _reason(call: Call, dag: Dag | None, state: NodeState, pools: dict[tuple[str, str], Pool]) -> str:
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


def pool_reason(wait: NodeWait, pool: Pool) -> str:
    """Return why a node has no place in a pool, or nothing if it could have one."""
    claim = Claim(PoolKey(*wait.pool), wait.limit, wait.interval_s)
    state = PoolState(pool.taken, pool.capacity, users=tuple(map(_named, pool.users)), free_at=pool.free_at)
    found = obstacle(claim, state, wait.ahead)
    return str(found) if found else ""


def _named(user: PoolUser) -> str:
    return f"{user.dag_name}/{user.dag_run_id} ({user.step})"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
