"""Decides who may run an attempt: workers report that they begin one, or ask whether they may.

A worker that has no doubt about a task begins at once and reports it. So two workers may each begin a copy of a task
before a scheduler knows: then one of them is ended, and the run's history says so. A worker in doubt asks first. The
attempt is granted to one worker, as long as nobody is known to run it.
"""

from dataclasses import replace
from datetime import datetime

from services.scheduler.core.decision import HELD_BY_ANOTHER, STALE_TOKEN, Execution, Grant, Halt, Ignored
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import BegunBeside, Requested
from services.scheduler.core.model import Node, OpenAttempt
from services.scheduler.core.plan import FOLLOW_UP
from shared.contracts.events import (
    AttemptFinished,
    AttemptGivenUp,
    AttemptRequested,
    AttemptStarted,
    Doubt,
)
from shared.status import AttemptState, NodeStatus, RunStatus

__all__ = [
    "began_at",
    "begin",
    "begun_beside",
    "begun_otherwise",
    "execution_of",
    "halt_of_deleted_run",
    "held_by",
    "requested",
    "started",
    "turned_away",
]

Beginning = AttemptStarted | AttemptFinished | AttemptRequested
_AT_ONCE = "at once"
"""Why a worker began: it had no doubt."""


def started(draft: Draft, event: AttemptStarted) -> Ignored | None:
    """Record that a worker has begun the attempt.

    Halt the worker if the token is stale, or if another worker holds the attempt.
    """
    attempt = draft.nodes[event.node].attempt
    if attempt is None or attempt.token != event.token:
        return turned_away(event, STALE_TOKEN)
    if attempt.state is AttemptState.RUNNING:
        return Ignored("already started") if held_by(attempt, event) else turned_away(event, HELD_BY_ANOTHER)
    begin(draft, attempt, event, event.at)
    return None


def requested(draft: Draft, message: Requested) -> Ignored | None:
    """Grant the attempt to the worker that asks, if nobody has begun it; otherwise halt the worker.

    No answer is given while the report of another worker that has begun the attempt may be on its way. The worker asks
    again.
    """
    event = message.event
    attempt = draft.nodes[event.node].attempt
    if attempt is None or attempt.token != event.token:
        return turned_away(event, STALE_TOKEN)
    grant = Grant(event.worker_id, event.incarnation, event.token)
    if attempt.state is AttemptState.RUNNING:
        return Ignored("granted already", (grant,)) if held_by(attempt, event) else turned_away(event, HELD_BY_ANOTHER)
    if event.doubt == Doubt.REDELIVERED and not message.all_heard:
        return Ignored("reports outstanding")
    begin(draft, attempt, event, draft.now)
    draft.effects.append(grant)
    return None


def begun_beside(draft: Draft, message: BegunBeside) -> None:
    """Say in the run's history that a step has run although its attempts do not tell, perhaps for the second time."""
    node, run = draft.nodes[message.node], draft.run
    runs_yet = node.status is NodeStatus.NOT_STARTED and run.status is RunStatus.RUNNING and not run.stop_reason
    result = "it may have run twice" if runs_yet or begun_otherwise(node) else "it has run, at least in part"
    why = f"worker {message.worker_id} began this step without the right to ({message.why}): {result}"
    draft.note(message.node, why, message.worker_id)


def begun_otherwise(node: Node) -> bool:
    """Whether another attempt of the node has begun or may still begin. If the run was stopped, none may have."""
    return node.started_at is not None or node.attempt is not None


def held_by(attempt: OpenAttempt, event: Beginning | AttemptGivenUp) -> bool:
    """Whether the sender of the event is the holder of the attempt."""
    return (attempt.worker_id, attempt.incarnation) == (event.worker_id, event.incarnation)


def begin(draft: Draft, attempt: OpenAttempt, event: Beginning, at: datetime) -> None:
    """Make the sender of the event the holder of the open attempt, which began at ``at`` by the sender's clock."""
    node = draft.nodes[event.node]
    at = began_at(draft, attempt, at)
    _take_hold(draft, attempt, event)
    why = event.doubt if isinstance(event, AttemptRequested) else _AT_ONCE
    draft.effects.append(execution_of(event, at, accepted=True, begun=True, why=why))
    facts = {
        "started_at": node.started_at or at,
        "stdout": event.stdout or node.stdout,
        "stderr": event.stderr or node.stderr,
    }
    if node.status is NodeStatus.NOT_STARTED:
        draft.move(event.node, NodeStatus.RUNNING, f"started on {event.worker_id}", event.worker_id, **facts)
    else:
        draft.set_node(event.node, **facts)
        draft.note(event.node, f"attempt {node.number} started on {event.worker_id}", event.worker_id)


def began_at(draft: Draft, attempt: OpenAttempt, at: datetime) -> datetime:
    """Return when an open attempt began, ``at`` by its worker's clock, which may be wrong: after its dispatch.

    Time limits and ``delaySec`` count from then, and so do all durations.
    """
    return min(max(at, attempt.dispatched_at), draft.now)


def execution_of(
    event: Beginning | AttemptGivenUp, at: datetime, *, accepted: bool, begun: bool, why: str
) -> Execution:
    """Return the effect that records what the sender of the event did with the attempt."""
    return Execution(event.token, event.node, event.worker_id, event.incarnation, at, accepted, begun, why)


def halt_of_deleted_run(event: Beginning, token: str) -> Halt:
    """Return the halt of an attempt that a worker begins, or wants to, although its run was deleted."""
    return Halt(event.worker_id, token, revoked=True, reason="its run was deleted", incarnation=event.incarnation)


def turned_away(event: AttemptStarted | AttemptRequested, why: str) -> Ignored:
    """Return the answer to a worker that may not have the attempt: it is halted, and what it did is recorded."""
    begun = isinstance(event, AttemptStarted)
    halt = Halt(event.worker_id, event.token, revoked=True, reason=why, incarnation=event.incarnation)
    execution = execution_of(event, event.at, accepted=False, begun=begun, why=why)
    # A refused request is not a stale report: the worker did right to ask.
    return Ignored(why if begun else "request refused", (halt, execution))


def _take_hold(draft: Draft, attempt: OpenAttempt, event: Beginning) -> None:
    node, run = draft.nodes[event.node], draft.run
    held = replace(attempt, state=AttemptState.RUNNING, worker_id=event.worker_id, incarnation=event.incarnation)
    draft.set_node(event.node, attempt=held)
    if run.plan.dag.placement != "stick" or node.kind == FOLLOW_UP:
        return
    if run.worker_id is None or (run.worker_id == event.worker_id and run.incarnation != event.incarnation):
        # The worker may have been restarted since. The next tasks are addressed to its present incarnation.
        draft.set_run(worker_id=event.worker_id, incarnation=event.incarnation)
