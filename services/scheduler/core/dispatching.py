"""Dispatches the steps that are ready, and ends the run attempt when no step can start any more."""

from datetime import timedelta

from services.scheduler.core.approvals import abandon, resume_if_free
from services.scheduler.core.decision import Dispatch, WakeAt
from services.scheduler.core.draft import Draft
from services.scheduler.core.model import WAITS, Node
from services.scheduler.core.plan import HANDLER, SIDE_TASK, STEP
from services.scheduler.core.pools import ask
from services.scheduler.core.side_tasks import owes_end
from services.scheduler.core.step_rules import UPSTREAM_ABORTED, blocked_by, derive_status, ready
from services.scheduler.core.tasks import make_task
from shared.language.model import Handler
from shared.status import NodeStatus, RunStatus

__all__ = ["proceed"]

_STARTABLE = (NodeStatus.NOT_STARTED, NodeStatus.RUNNING)


def proceed(draft: Draft) -> None:
    """Advance the run until it must wait for a worker, a timer or an approval, or until it has ended."""
    if draft.run.status is not RunStatus.RUNNING or owes_end(draft):
        return
    if _ends_waiting(draft):
        _wait(draft)
        return
    if not draft.run.stop_reason and _start_ready(draft):
        return
    if any(_under_way(node) for node in draft.nodes):
        return
    _end(draft)


def _under_way(node: Node) -> bool:
    if node.kind == SIDE_TASK:
        return False
    return node.attempt is not None or node.status is NodeStatus.RUNNING or bool(node.admission)


def _ends_waiting(draft: Draft) -> bool:
    """Whether the wait handler has started: then this run attempt ends, even if all steps are approved before."""
    handler = _handler(draft, Handler.WAIT)
    if handler is None or draft.run.stop_reason or any(node.status is NodeStatus.REJECTED for node in draft.steps):
        return False
    return handler.attempt is not None or handler.status is not NodeStatus.NOT_STARTED


def _wait(draft: Draft) -> None:
    """Run the wait handler, then end the run attempt with status ``waiting``.

    If all approvals were given while the handler ran, the run continues in the same decision.
    """
    if _pending_one_off(draft, _handler(draft, Handler.WAIT), RunStatus.WAITING):
        return
    draft.become(RunStatus.WAITING, "only steps that wait for approval are left", "scheduler", finished_at=draft.now)
    resume_if_free(draft, "scheduler")
    proceed(draft)


def _start_ready(draft: Draft) -> bool:
    """Dispatch the prepare node, the init handler or the ready steps; return whether any of them is unfinished."""
    if _pending_one_off(draft, draft.prepare) or _pending_one_off(draft, _handler(draft, Handler.INIT), "running"):
        return True
    if draft.run.only_step:
        candidates = [draft.nodes[draft.run.plan.index[draft.run.only_step]]]
        due = [node for node in candidates if _due(draft, node)]
    else:
        _propagate(draft)
        plan, steps = draft.run.plan, draft.steps
        due = [node for node in steps if _due(draft, node) and (node.number or ready(plan, steps, node.idx))]
        candidates = steps
    for node in _fitting(draft, due):
        dispatch(draft, node.idx)
    left = [draft.nodes[node.idx] for node in candidates if not draft.nodes[node.idx].status.terminal]
    return bool(left) and (any(_under_way(node) for node in left) or _can_go_on(draft))


def _can_go_on(draft: Draft) -> bool:
    return any(_under_way(node) for node in draft.nodes) or _is_delayed(draft)


def _is_delayed(draft: Draft) -> bool:
    return any(isinstance(effect, WakeAt) and effect.kind == "delay" for effect in draft.effects)


def _due(draft: Draft, node: Node) -> bool:
    if node.attempt is not None or node.status not in _STARTABLE or node.calls or node.admission == WAITS:
        return False
    return node.status is NodeStatus.NOT_STARTED or node.retry_at is None or node.retry_at <= draft.now


def _pending_one_off(draft: Draft, node: Node | None, run_status: str = "") -> bool:
    """Dispatch a prepare or handler node if it is due; return whether it is unfinished."""
    if node is None or node.status.terminal:
        return False
    if _due(draft, node):
        dispatch(draft, node.idx, run_status)
    return True


def _handler(draft: Draft, handler: Handler) -> Node | None:
    idx = draft.run.plan.handlers.get(handler)
    return None if idx is None else draft.nodes[idx]


def _propagate(draft: Draft) -> None:
    """Skip or abort pending steps that their dependencies block, and then the dependents of those steps."""
    plan = draft.run.plan
    todo = [node.idx for node in draft.steps if node.status is NodeStatus.NOT_STARTED and node.attempt is None]
    while todo:
        later: set[int] = set()
        for idx in todo:
            if draft.nodes[idx].status is not NodeStatus.NOT_STARTED:
                continue
            verdict = blocked_by(plan, draft.nodes, idx)
            if verdict is not None:
                status, why = verdict
                draft.move(idx, status, why, error="" if why == UPSTREAM_ABORTED else why, finished_at=draft.now)
                later.update(plan.dependents[idx])
        todo = sorted(later)


def _fitting(draft: Draft, due: list[Node]) -> list[Node]:
    """Return those of the ``due`` steps that may be dispatched now.

    ``maxActiveSteps`` limits how many steps are under way. A step is under way from its first dispatch until it ends,
    also while it waits for its next try or its sub-runs, and while it waits for a pool. All steps of a run with
    placement ``stick`` run on one worker, so that they find the same files. The worker is known when the first attempt
    starts; until then no other step is dispatched.
    """
    dag = draft.run.plan.dag
    if dag.max_active_steps > 0:
        room = max(0, dag.max_active_steps - sum(1 for node in draft.steps if _under_way(node)))
        begun = [node for node in due if _under_way(node)]
        due = begun + [node for node in due if not _under_way(node)][:room]
    due = _delayed(draft, ask(draft, due))
    if dag.placement == "stick" and draft.run.worker_id is None:
        return [] if any(node.attempt is not None for node in draft.steps) else due[:1]
    return due


def _delayed(draft: Draft, due: list[Node]) -> list[Node]:
    """Return those of the ``due`` steps that may start now: ``delaySec`` must pass between the starts of two steps.

    Source: workflow language, section 5.3.
    """
    delay = timedelta(seconds=draft.run.plan.dag.delay_sec)
    fresh = [node for node in due if node.status is not NodeStatus.RUNNING]
    if not delay or not fresh:
        return due
    begun = [node for node in due if node.status is NodeStatus.RUNNING]
    launches = [
        node.attempt.dispatched_at if node.attempt is not None and node.number == 1 else node.started_at
        for node in draft.steps
    ]
    last = max((moment for moment in launches if moment is not None), default=None)
    if last is not None and draft.now < last + delay:
        draft.effects.append(WakeAt(-1, "delay", last + delay))
        return begun
    if len(fresh) > 1:
        draft.effects.append(WakeAt(-1, "delay", draft.now + delay))
    return [*begun, fresh[0]]


def dispatch(draft: Draft, idx: int, run_status: str = "") -> None:
    """Open the next attempt of the node, and add the effect that sends its task."""
    dag = draft.run.plan.dag
    worker_id = draft.run.worker_id if dag.placement == "stick" else None
    token = draft.open_attempt(idx, worker_id, retry_at=None, admission="", call_token="")
    task = make_task(draft, idx, token, worker_id, run_status)
    draft.effects.append(Dispatch(task, worker_id, tuple(sorted(dag.worker_selector.items()))))


def _end(draft: Draft) -> None:
    """Run the handler for the run's status, then the exit handler, then record the final status.

    If a step waits for approval, end the run attempt with status ``waiting`` instead. Each call dispatches at most one
    handler. Source: workflow language, section 5.7.
    """
    status = derive_status(draft.run, draft.steps)
    if status is RunStatus.WAITING:
        _wait(draft)
        return
    abandon(draft, f"the run is {status}", "scheduler")
    first = _handler(draft, _HANDLER_OF[status]) if status in _HANDLER_OF else None
    if _pending_one_off(draft, first, status):
        return
    if status is RunStatus.SUCCEEDED and first is not None and first.status is NodeStatus.FAILED:
        status = RunStatus.FAILED
    last = _handler(draft, Handler.EXIT)
    if _pending_one_off(draft, last, status):
        return
    if status is RunStatus.SUCCEEDED and last is not None and last.status is NodeStatus.FAILED:
        status = RunStatus.FAILED
    draft.become(status, _why(draft, status), "scheduler", finished_at=draft.now)


_HANDLER_OF = {
    RunStatus.SUCCEEDED: Handler.SUCCESS,
    RunStatus.PARTIALLY_SUCCEEDED: Handler.SUCCESS,
    RunStatus.FAILED: Handler.FAILURE,
    RunStatus.ABORTED: Handler.ABORT,
    # Only if other steps still ran: a waiting run ends without handlers (see ``approvals.reject``).
    RunStatus.REJECTED: Handler.FAILURE,
}


def _why(draft: Draft, status: RunStatus) -> str:
    if draft.run.stop_reason:
        return {
            "stop": "stopped on request",
            "timeout": "the run's time limit passed",
            "precondition": "the DAG's preconditions were not met",
            "init": "the init handler failed",
            "prepare": draft.run.error or "the run could not be prepared",
        }[draft.run.stop_reason]
    if status.successful:
        return "all steps are done"
    if status is RunStatus.REJECTED:
        rejected = [node.name for node in draft.steps if node.status is NodeStatus.REJECTED]
        return f"rejected: {', '.join(rejected)}"
    failed = [node.name for node in draft.nodes if node.status is NodeStatus.FAILED and node.kind in (STEP, HANDLER)]
    return f"failed: {', '.join(failed)}" if failed else f"steps ended {status}"
