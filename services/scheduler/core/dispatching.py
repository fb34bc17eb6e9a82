"""Carry a run as far as it goes without new facts: dispatch what is ready, and end what is done."""

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
    """Bring ``draft`` to rest. A run at rest waits for a worker, a timer, a person, or is over."""
    if draft.run.status is not RunStatus.RUNNING or owes_end(draft):
        return
    if _ends_waiting(draft):
        _wait(draft)
        return
    if not draft.run.stop_reason and _start_what_may(draft):
        return
    if any(_under_way(node) for node in draft.nodes):
        return
    _end(draft)


def _under_way(node: Node) -> bool:
    if node.kind == SIDE_TASK:
        return False
    return node.attempt is not None or node.status is NodeStatus.RUNNING or bool(node.admission)


def _ends_waiting(draft: Draft) -> bool:
    """Whether the wait handler has been begun: this attempt is over, whatever is approved meanwhile."""
    handler = _handler(draft, Handler.WAIT)
    if handler is None or draft.run.stop_reason or any(node.status is NodeStatus.REJECTED for node in draft.steps):
        return False
    return handler.attempt is not None or handler.status is not NodeStatus.NOT_STARTED


def _wait(draft: Draft) -> None:
    """End the attempt in ``waiting``, after the wait handler; go on at once if that was what people waited for."""
    if _pending_one_off(draft, _handler(draft, Handler.WAIT), RunStatus.WAITING):
        return
    draft.become(RunStatus.WAITING, "only approvals are left", "scheduler", finished_at=draft.now)
    resume_if_free(draft, "scheduler")
    proceed(draft)


def _start_what_may(draft: Draft) -> bool:
    """Dispatch whatever comes next; return whether the run's body is still unfinished."""
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
    """Run a prepare or handler node if it has not run; return whether it is still to be waited for."""
    if node is None or node.status.terminal:
        return False
    if _due(draft, node):
        dispatch(draft, node.idx, run_status)
    return True


def _handler(draft: Draft, handler: Handler) -> Node | None:
    idx = draft.run.plan.handlers.get(handler)
    return None if idx is None else draft.nodes[idx]


def _propagate(draft: Draft) -> None:
    """Mark pending steps whose dependencies forbid them, and in turn their own dependents."""
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

    ``maxActiveSteps`` counts running steps: one that waits for its next try, or for a pool, keeps its place. A run
    sticks to one worker, and which one is known only when its first attempt starts: until then the
    others wait, so that all of them find the same files.
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
    """Keep ``delaySec`` between the launches of two steps (workflow language, section 5.3)."""
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
    """Open the node's next attempt and ask for its task to be sent."""
    dag = draft.run.plan.dag
    worker_id = draft.run.worker_id if dag.placement == "stick" else None
    token = draft.open_attempt(idx, worker_id, retry_at=None, admission="", call_token="")
    task = make_task(draft.run, draft.nodes, idx, token, run_status)
    draft.effects.append(Dispatch(task, worker_id, tuple(sorted(dag.worker_selector.items()))))


def _end(draft: Draft) -> None:
    """Run the closing handlers one after the other, then record the final status.

    Source: workflow language, section 5.7.
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
    # While other steps still ran; a run that only waited is over at once (see ``approvals.reject``).
    RunStatus.REJECTED: Handler.FAILURE,
}


def _why(draft: Draft, status: RunStatus) -> str:
    if draft.run.stop_reason:
        return {
            "stop": "stopped on request",
            "timeout": "the run's time limit passed",
            "precondition": "the dag's preconditions were not met",
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
