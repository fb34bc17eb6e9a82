"""Stops a run: on request, when its time limit passes, or as a sub-run of a run that stops.

No more steps start, open attempts are halted, and then the closing handlers run. ``stop_reason`` of the run says why it
stops; ``children`` has the time limits of single steps.
"""

from datetime import timedelta

from services.scheduler.core import approvals, children
from services.scheduler.core.decision import THE_RUN, Halt, Ignored, Refused, StopChild, WakeAt
from services.scheduler.core.dispatching import OUT_OF_TIME
from services.scheduler.core.draft import Draft
from services.scheduler.core.follow_ups import owes_end
from services.scheduler.core.messages import Stop
from services.scheduler.core.plan import FOLLOW_UP, HANDLER
from shared.status import AttemptState, NodeStatus, RunStatus, StopReason, TimerKind

__all__ = ["out_of_time", "stop"]


def stop(draft: Draft, message: Stop) -> Ignored | Refused | None:
    """Begin to stop a running run, or halt again what has not ended since; a waiting run ends at once."""
    run = draft.run
    if run.status is RunStatus.WAITING:
        why = "stopped while waiting for approval"
        approvals.abandon(draft, why, message.by)
        draft.become(RunStatus.ABORTED, why, message.by, finished_at=draft.now)
        return None
    if run.status is not RunStatus.RUNNING:
        return Refused("not_running", f"Run {run.dag_run_id!r} is {run.status}, not running")
    if run.stop_reason:
        # A run that stops by itself, because it could not be prepared for example, hears of a stop for the first time.
        again = run.stop_reason is StopReason.STOP
        return Ignored("stopping already", tuple(_halts(draft, run.stop_reason, again=again)))
    _begin_to_stop(draft, StopReason.STOP, message.by)
    return None


def out_of_time(draft: Draft) -> Ignored | None:
    """Enforce the run's time limit, if it is due: stop the run, or end what an earlier stop lets finish."""
    started_at, limit = draft.run.started_at, timedelta(seconds=draft.run.plan.dag.timeout_sec)
    if started_at is None or not limit or draft.run.stop_reason not in {None, StopReason.STOP, StopReason.TIMEOUT}:
        return Ignored("no time limit to enforce")
    if draft.now < started_at + limit:
        return Ignored("not due", (WakeAt(THE_RUN, TimerKind.TIMEOUT, started_at + limit),))
    if owes_end(draft):
        return Ignored("waits for the mails of its last end", (WakeAt(THE_RUN, TimerKind.TIMEOUT, draft.now + limit),))
    if draft.run.stop_reason:
        return _stop_again(draft)
    _begin_to_stop(draft, StopReason.TIMEOUT, "scheduler")
    # The errors of its steps only say that they were ended.
    draft.set_run(error=OUT_OF_TIME)
    draft.effects.append(_look_again(draft))
    return None


def _stop_again(draft: Draft) -> Ignored:
    """Enforce the time limit of a run that stops already: what a stop lets finish ends too, also in sub-runs.

    Says so again until all has ended: a worker may have missed it, and no heartbeat is answered with a halt for it.
    """
    halts = _halts(draft, StopReason.TIMEOUT, again=True)
    if not halts:
        return Ignored("all has ended but handlers")
    return Ignored("stopping already", (*halts, _look_again(draft)))


def _look_again(draft: Draft) -> WakeAt:
    return WakeAt(THE_RUN, TimerKind.TIMEOUT, draft.now + children.STOP_AGAIN)


def _begin_to_stop(draft: Draft, reason: StopReason, by: str) -> None:
    draft.set_run(stop_reason=reason)
    draft.note(None, f"stopping: {reason}", by)
    for node in draft.nodes:
        if node.kind != FOLLOW_UP:
            _stop_node(draft, node.idx, reason, by)
    if reason is StopReason.TIMEOUT:
        _abort_pending(draft, reason, by)
    draft.effects.extend(_halts(draft, reason))


def _stop_node(draft: Draft, idx: int, reason: StopReason, by: str) -> None:
    """Withdraw an attempt that no worker has begun, and end a node that waits. What runs is halted afterwards."""
    if draft.nodes[idx].admission:
        draft.set_node(idx, admission="")
    attempt = draft.nodes[idx].attempt
    if attempt is not None and attempt.state is AttemptState.DISPATCHED:
        draft.withdraw(idx, reason)
    node = draft.nodes[idx]
    if node.status is NodeStatus.WAITING and node.calls:
        draft.move(idx, NodeStatus.RUNNING, "its sub-runs are stopped too", by)
    elif node.status is NodeStatus.WAITING:
        draft.move(idx, NodeStatus.ABORTED, reason, by, error=reason, finished_at=draft.now)
    elif node.status is NodeStatus.RUNNING and node.attempt is None and not node.calls:
        # Between two executions. On a stop, a repeated step whose last execution succeeded has succeeded.
        done = reason is StopReason.STOP and draft.run.plan.repeats(idx) and node.exit_code == 0
        status = NodeStatus.SUCCEEDED if done else NodeStatus.ABORTED
        draft.move(idx, status, reason, by, finished_at=draft.now, retry_at=None)


def _abort_pending(draft: Draft, reason: StopReason, by: str) -> None:
    """Abort the steps that have not started: a time limit does so, a stop does not, as in Dagu."""
    for node in draft.steps:
        if node.status is NodeStatus.NOT_STARTED and draft.run.only_step in {"", node.name}:
            draft.move(node.idx, NodeStatus.ABORTED, reason, by, finished_at=draft.now)


def _halts(draft: Draft, reason: StopReason, *, again: bool = False) -> list[Halt | StopChild]:
    """Return the effects that stop open attempts and sub-runs.

    On a stop, a repeated step may finish its execution. If it never does, a second stop (``again``) ends it. A handler
    may have begun since the first stop, to clean up. It goes on, and so do its sub-runs.
    """
    reached = [node for node in draft.nodes if node.kind != FOLLOW_UP and not (again and node.kind == HANDLER)]
    attempts = [
        Halt(node.attempt.worker_id, node.attempt.token, revoked=False, reason=reason)
        for node in reached
        if node.attempt is not None and node.attempt.worker_id is not None
        if again or reason is StopReason.TIMEOUT or not draft.run.plan.repeats(node.idx)
    ]
    called = [effect for node in reached if node.calls for effect in children.stops(node)]
    return [*attempts, *called]
