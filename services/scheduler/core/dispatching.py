"""Dispatches the steps that are ready, and ends the run attempt when no step can start any more."""

from datetime import timedelta
from heapq import heappop, heappush

from services.scheduler.core.approvals import abandon, resume_if_free
from services.scheduler.core.chains import following
from services.scheduler.core.decision import THE_RUN, Dispatch, WakeAt
from services.scheduler.core.draft import Draft
from services.scheduler.core.follow_ups import owes_end
from services.scheduler.core.model import Node
from services.scheduler.core.plan import HANDLER, STEP
from services.scheduler.core.pools import wait_for_places
from services.scheduler.core.step_rules import UPSTREAM_ABORTED, blocked_by, derive_status
from services.scheduler.core.tally import is_due, startable, under_way
from services.scheduler.core.tasks import make_task
from shared.language.model import Handler
from shared.status import NodeStatus, RunStatus, StopReason, TimerKind

__all__ = ["MOST_AHEAD", "MOST_URGENT", "OUT_OF_TIME", "proceed"]

MOST_AHEAD = 200
"""How many tasks of a run may be on their way to workers. Others are sent as workers begin these, so that a wide run
starts at once, whatever its width, and the tasks of other runs are not queued behind all of its tasks."""
MOST_URGENT = 8
"""How many of these tasks may be urgent. The others let the tasks of runs pass that have fewer on their way."""
OUT_OF_TIME = "the run's time limit passed"
_NO_VALUES = " before env and params were evaluated: no handler runs"


def proceed(draft: Draft) -> None:
    """Advance the run until it must wait for a worker, a timer or an approval, or until it has ended."""
    if draft.run.status is not RunStatus.RUNNING or owes_end(draft):
        return
    if _ends_waiting(draft):
        _wait(draft)
        return
    if not draft.run.stop_reason and _start_ready(draft):
        return
    if not draft.tally.under_way:
        _end(draft)


def _ends_waiting(draft: Draft) -> bool:
    """Whether the wait handler has started: then this run attempt ends, even if all steps are approved before."""
    handler = _handler(draft, Handler.WAIT)
    if handler is None or draft.run.stop_reason or draft.tally.statuses[NodeStatus.REJECTED]:
        return False
    return handler.attempt is not None or handler.status is not NodeStatus.NOT_STARTED


def _wait(draft: Draft) -> None:
    """Run the wait handler, then end the run attempt with status ``waiting``.

    If all approvals were given while the handler ran, the run continues in the same decision.
    """
    if _run_one_off(draft, _handler(draft, Handler.WAIT), RunStatus.WAITING):
        return
    draft.become(RunStatus.WAITING, "only steps that wait for approval are left", "scheduler", finished_at=draft.now)
    resume_if_free(draft, "scheduler")
    proceed(draft)


def _start_ready(draft: Draft) -> bool:
    """Dispatch the prepare node, the init handler or the ready steps; return whether any of them is unfinished."""
    if _run_one_off(draft, draft.prepare) or _run_one_off(draft, _handler(draft, Handler.INIT), "running"):
        return True
    if draft.run.only_step:
        only = draft.run.plan.index[draft.run.only_step]
        due = [draft.nodes[only]] if _due(draft, draft.nodes[only]) else []
    else:
        only = None
        _propagate(draft)
        # Steps that wait for places in pools are not on their way to a worker, so all due steps may ask at once.
        due = draft.tally.due(draft.now, None if draft.run.plan.claims else _room_ahead(draft))
    for node in _fitting(draft, due):
        dispatch(draft, node.idx)
    unfinished = draft.tally.unfinished > 0 if only is None else not draft.nodes[only].status.terminal
    return unfinished and (bool(draft.tally.under_way) or _waits_for_delay(draft))


def _waits_for_delay(draft: Draft) -> bool:
    return any(isinstance(effect, WakeAt) and effect.kind is TimerKind.DELAY for effect in draft.effects)


def _due(draft: Draft, node: Node) -> bool:
    return startable(node) and is_due(node, draft.now)


def _run_one_off(draft: Draft, node: Node | None, run_status: str = "") -> bool:
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
    first, todo = True, draft.tally.take_unpropagated()
    while todo:
        later: set[int] = set()
        while todo:
            idx = heappop(todo)
            node = draft.nodes[idx]
            if node.status is not NodeStatus.NOT_STARTED or (first and node.attempt is not None):
                continue
            verdict = blocked_by(plan, draft.nodes, idx)
            if verdict is not None:
                status, why = verdict
                draft.move(idx, status, why, error="" if why == UPSTREAM_ABORTED else why, finished_at=draft.now)
                later.update(plan.dependents[idx])
                for child in plan.dependents[idx] if first else ():
                    if child > idx:
                        heappush(todo, child)
        first, todo = False, sorted(later)
    draft.tally.take_unpropagated()


def _fitting(draft: Draft, due: list[Node]) -> list[Node]:
    """Return those of the ``due`` steps that may be dispatched now; those that need places in pools begin to wait.

    ``maxActiveSteps`` limits how many steps are under way. A step is under way from its first dispatch until it ends,
    also while it waits for its next try or its sub-runs, and while it waits for a pool. All steps of a run with
    placement ``stick`` run on one worker, so that they find the same files. The worker is known when the first attempt
    starts; until then no other step is dispatched. ``due`` has the steps under way first.
    """
    dag, tally = draft.run.plan.dag, draft.tally
    ahead = _room_ahead(draft)
    active = max(0, dag.max_active_steps - tally.steps_under_way) if dag.max_active_steps > 0 else len(due)
    found: list[Node] = []
    for node in due:
        if len(found) >= ahead:
            break
        if not under_way(node):
            if active <= 0:
                break
            active -= 1
        if not wait_for_places(draft, node):
            found.append(node)
    found = _past_delay(draft, found)
    if dag.placement == "stick" and draft.run.worker_id is None:
        return [] if tally.open else found[:1]
    return found


def _room_ahead(draft: Draft) -> int:
    return max(0, MOST_AHEAD - draft.tally.ahead)


def _past_delay(draft: Draft, due: list[Node]) -> list[Node]:
    """Return those of the ``due`` steps that may start now: ``delaySec`` must pass between the starts of two steps."""
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
        draft.effects.append(WakeAt(THE_RUN, TimerKind.DELAY, last + delay))
        return begun
    if len(fresh) > 1:
        draft.effects.append(WakeAt(THE_RUN, TimerKind.DELAY, draft.now + delay))
    return [*begun, fresh[0]]


def dispatch(draft: Draft, idx: int, run_status: str = "") -> None:
    """Open the next attempt of the node, and add the effect that sends its task."""
    worker_id = draft.run.worker_id
    token = draft.open_attempt(idx, worker_id, retry_at=None, admission="", call_token="")
    task = make_task(draft, idx, token, worker_id, run_status)
    if rest := following(draft, idx, token):
        task = task.model_copy(update={"chain": rest})
    draft.effects.append(Dispatch(task, worker_id, urgent=draft.tally.ahead <= MOST_URGENT))


def _end(draft: Draft) -> None:
    """Run the handler for the run's status, then the exit handler, then record the final status.

    If a step waits for approval, end the run attempt with status ``waiting`` instead. Each call dispatches at most one
    handler. Source: docs/workflow-language.md#steps-that-wait-for-a-person.

    A run that was stopped before its values were known has begun nothing, so there is nothing to clean up. Its handlers
    do not run: without the values, ``rm -rf "$WORK"/tmp`` would name another folder.
    """
    status = derive_status(draft.run, draft.steps)
    if status is RunStatus.WAITING:
        _wait(draft)
        return
    abandon(draft, f"the run is {status}", "scheduler")
    for handler in () if _stopped_without_values(draft) else (_HANDLER_OF[status], Handler.EXIT):
        node = _handler(draft, handler)
        if _run_one_off(draft, node, status):
            return
        if status is RunStatus.SUCCEEDED and node is not None and node.status is NodeStatus.FAILED:
            status = RunStatus.FAILED
    draft.become(status, _why(draft, status), "scheduler", finished_at=draft.now)


def _stopped_without_values(draft: Draft) -> bool:
    """Whether the run was stopped on request before its env and params, if it has some, were evaluated."""
    run, prepare = draft.run, draft.prepare
    if run.stop_reason is not StopReason.STOP or run.evaluated:
        return False
    unprepared = prepare is not None and prepare.status is not NodeStatus.SUCCEEDED
    return unprepared and bool(run.plan.dag.env or run.plan.dag.params or run.given)


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
            StopReason.STOP: "stopped on request" + (_NO_VALUES if _stopped_without_values(draft) else ""),
            StopReason.TIMEOUT: OUT_OF_TIME,
            StopReason.PRECONDITION: "the DAG's preconditions were not met",
            StopReason.INIT: "the init handler failed",
            StopReason.PREPARE: draft.run.error or "the run could not be prepared",
        }[draft.run.stop_reason]
    if status.successful:
        return "all steps are done"
    if status is RunStatus.REJECTED:
        rejected = [node.name for node in draft.steps if node.status is NodeStatus.REJECTED]
        return f"rejected: {', '.join(rejected)}"
    failed = [node.name for node in draft.nodes if node.status is NodeStatus.FAILED and node.kind in (STEP, HANDLER)]
    return f"failed: {', '.join(failed)}" if failed else f"steps ended {status}"
