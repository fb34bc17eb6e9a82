"""``advance``: the only function that changes a DAG run.

Guarantees, each with a property test: a run leaves a terminal status only by an explicit retry; a repeated report
changes nothing; a node has at most one open attempt; every unfinished run has an open attempt, a timer, or a position
in a queue or a pool; a step starts only after its dependencies have ended.
"""

from datetime import datetime

from services.scheduler.core import approvals, children, follow_ups, pools, reports, run_attempts, starts, stopping
from services.scheduler.core.decision import THE_RUN, Decision, Forget, Ignored, Refused, WakeAt
from services.scheduler.core.dispatching import proceed
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import (
    Admit,
    Approve,
    AttemptLost,
    Begin,
    BegunBeside,
    ChildRefused,
    ChildrenSeen,
    Dequeue,
    PatchNode,
    Reject,
    Requested,
    Retry,
    Stop,
    TaskBarred,
    TaskUndelivered,
    TimerFired,
)
from services.scheduler.core.model import Node, Run
from shared.contracts.events import AttemptFinished, AttemptGivenUp, AttemptStarted
from shared.status import NodeStatus, RunStatus, TimerKind

__all__ = ["Message", "advance", "apply"]

_AboutAttempt = (
    AttemptStarted
    | AttemptFinished
    | AttemptGivenUp
    | Requested
    | BegunBeside
    | AttemptLost
    | TaskBarred
    | TaskUndelivered
)
Message = (
    Admit
    | Begin
    | Stop
    | Dequeue
    | Retry
    | PatchNode
    | Approve
    | Reject
    | TimerFired
    | ChildRefused
    | ChildrenSeen
    | _AboutAttempt
)


def advance(run: Run, message: Message, now: datetime, salt: str) -> Decision:
    """Decide how ``message`` changes ``run`` at the time ``now`` (aware UTC).

    ``salt`` is a random text from which the salts of all new attempt tokens are made.
    """
    draft = Draft(run, now, salt)
    answer = apply(draft, message)
    if answer is not None:
        draft.leave()
        return answer
    proceed(draft)
    changes = draft.changes()
    pools.acquire_and_release(draft, changes)
    follow_ups.add_needed(draft, run, changes)
    return draft.done()


def apply(draft: Draft, message: Message) -> Decision | None:
    """Apply ``message`` to the draft; return the decision if nothing can follow from it, and else ``None``."""
    match message:
        case Admit():
            return pools.admitted(draft, message)
        case Begin():
            return _begin(draft, message)
        case Stop():
            return stopping.stop(draft, message)
        case Dequeue():
            return _dequeue(draft, message)
        case Retry():
            return run_attempts.retry(draft, message)
        case Approve():
            return approvals.approve(draft, message)
        case Reject():
            return approvals.reject(draft, message)
        case PatchNode():
            return _patch(draft, message)
        case TimerFired():
            return _timer(draft, message)
        case ChildRefused():
            return children.refused(draft, message)
        case ChildrenSeen():
            answer = children.seen(draft, message)
            if answer is None:
                approvals.resume_if_free(draft, "scheduler")
            return answer
        case _:
            return _report(draft, message)


def _report(draft: Draft, message: _AboutAttempt) -> Ignored | None:
    if message.node >= len(draft.nodes):
        return Ignored("no such node")
    match message:
        case AttemptStarted():
            return starts.started(draft, message)
        case AttemptFinished():
            return reports.finished(draft, message)
        case AttemptGivenUp():
            return reports.given_up(draft, message)
        case Requested():
            return starts.requested(draft, message)
        case BegunBeside():
            starts.begun_beside(draft, message)
            return None
        case AttemptLost():
            return reports.lost(draft, message)
        case TaskBarred():
            return reports.barred(draft, message)
        case TaskUndelivered():
            return reports.undelivered(draft, message)


def _begin(draft: Draft, message: Begin) -> Ignored | None:
    if not draft.run.status.to_begin:
        return Ignored("already begun")
    if draft.run.started_at is not None:
        run_attempts.continue_run(draft, message.by)
    else:
        run_attempts.begin(draft, message)
    for node in draft.steps:
        if node.status is NodeStatus.RUNNING and not node.calls:
            draft.move(node.idx, NodeStatus.NOT_STARTED, "was set to running by hand, but has no attempt", message.by)
    return None


def _dequeue(draft: Draft, message: Dequeue) -> Refused | None:
    if draft.run.status is not RunStatus.QUEUED:
        return Refused("bad_request", f"Run {draft.run.dag_run_id!r} is {draft.run.status}, not queued")
    begun = draft.run.started_at is not None
    approvals.abandon(draft, "dequeued", message.by)
    draft.become(RunStatus.ABORTED, "dequeued", message.by, finished_at=draft.now)
    if not begun and draft.run.is_root:
        # A sub-run is kept, because its parent reads its final status.
        draft.effects.append(Forget())
    return None


def _patch(draft: Draft, message: PatchNode) -> Decision:
    if message.step not in draft.run.plan.index:
        return Refused("not_found", f"Run {draft.run.dag_run_id!r} has no step {message.step!r}")
    if draft.run.status is RunStatus.RUNNING:
        return Refused("bad_request", f"Run {draft.run.dag_run_id!r} is running: its steps cannot be edited")
    idx = draft.run.plan.index[message.step]
    was = draft.nodes[idx].status
    # A status set by hand is the only change that need not be listed in ``NODE_CHANGES``.
    draft.set_node(idx, status=message.status)
    draft.note(idx, f"set by hand, was {was}", message.by)
    return draft.done()


def _timer(draft: Draft, message: TimerFired) -> Ignored | None:
    if draft.run.status is not RunStatus.RUNNING:
        return Ignored("the run is over")
    match message.kind:
        case TimerKind.TIMEOUT:
            return stopping.out_of_time(draft) if message.node == THE_RUN else children.out_of_time(draft, message.node)
        case TimerKind.DELAY:
            return None
        case TimerKind.POOL:
            return pools.ask_again(draft, message.node)
        case TimerKind.RETRY:
            return _retry_is_due(draft, draft.nodes[message.node])


def _retry_is_due(draft: Draft, node: Node) -> Ignored | None:
    if node.attempt is not None or node.status is not NodeStatus.RUNNING:
        return Ignored("not waiting")
    if node.retry_at is not None and node.retry_at > draft.now:
        return Ignored("not due", (WakeAt(node.idx, TimerKind.RETRY, node.retry_at),))
    # It stays due. It may have to wait until another step has begun, and the scheduler that decides then may have an
    # earlier time; but no other timer would fire.
    draft.set_node(node.idx, retry_at=None)
    return None
