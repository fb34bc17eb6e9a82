"""Applies reports on the end of attempts, and the loss of workers and tasks, to a run."""

from dataclasses import replace
from datetime import timedelta

from services.scheduler.core import approvals, children, follow_ups
from services.scheduler.core.chains import go_on, ignore_end
from services.scheduler.core.conclude import STATUS, End, conclude
from services.scheduler.core.decision import HELD_BY_ANOTHER, STALE_TOKEN, Halt, Ignored
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import AttemptLost, TaskBarred, TaskUndelivered
from services.scheduler.core.model import Node, OpenAttempt
from services.scheduler.core.plan import FOLLOW_UP, HANDLER, PREPARE, STEP
from services.scheduler.core.starts import began_at, begin, execution_of, held_by
from shared.contracts.events import AttemptFinished, AttemptGivenUp, Doubt, Outcome
from shared.contracts.prepared import PreparedValues
from shared.language.steps.approval import APPROVAL
from shared.status import AttemptState, Begun, NodeStatus, RunStatus, StopReason

__all__ = ["barred", "finished", "given_up", "lost", "undelivered"]

_LOST_EXIT_CODE = -1
_GIVEN_UP = "the worker gave it up"


def finished(draft: Draft, event: AttemptFinished) -> Ignored | None:
    """Close the attempt, then continue according to the node's kind and its retry and repeat policies."""
    node = draft.nodes[event.node]
    if node.attempt is None or node.attempt.token != event.token:
        return ignore_end(draft, event, STALE_TOKEN)
    if node.attempt.state is AttemptState.RUNNING and not held_by(node.attempt, event):
        return ignore_end(draft, event, HELD_BY_ANOTHER)
    event = _by_our_clock(draft, node.attempt, event)
    if node.attempt.state is AttemptState.DISPATCHED:
        # This report overtook the report of the start. The run's history must be the same in both orders.
        begin(draft, node.attempt, event, event.started_at)
    draft.close_attempt(
        event.node,
        AttemptState.FINISHED,
        outcome=event.outcome,
        exit_code=event.exit_code,
        error=event.error,
        started_at=event.started_at,
        log_bytes=event.log_bytes,
        ended_at=event.at,
    )
    if event.shutdown and not draft.run.stop_reason and _runs_again_after_shutdown(draft, node):
        _run_again(draft, node, event)
        return None
    final = event.outcome == "timed_out" or bool(draft.run.stop_reason)
    end = End(
        event.outcome,
        event.exit_code,
        event.error,
        final=final,
        condition_met=event.repeat_condition_met,
        retry_limit=event.retry_limit,
        retry_interval_s=event.retry_interval_s,
    )
    if node.kind == PREPARE:
        _prepared(draft, event, end)
        go_on(draft, event)
    elif node.kind == FOLLOW_UP:
        follow_ups.finished(draft, draft.nodes[event.node], event)
    else:
        _executed(draft, node, event, end)
    return None


def _by_our_clock(draft: Draft, attempt: OpenAttempt, event: AttemptFinished) -> AttemptFinished:
    """Return the report with times after the attempt's dispatch: its worker's clock tells only how long it took."""
    took = max(min(event.at - event.started_at, draft.now - attempt.dispatched_at), timedelta(0))
    started_at = began_at(draft, attempt, min(event.started_at, draft.now - took))
    return event.model_copy(update={"started_at": started_at, "at": started_at + took})


def _executed(draft: Draft, node: Node, event: AttemptFinished, end: End) -> None:
    """Continue after an execution of a step or handler. ``node`` is as it was before the attempt was closed."""
    if _is_approval(draft, node) and event.outcome == "succeeded":
        if not draft.run.stop_reason:
            approvals.ask(draft, event)
            return
        # The step only printed its prompt. It was not approved before the run was stopped.
        end = replace(end, outcome="aborted", error=draft.run.stop_reason)
    if node.call_token:
        printed = children.printed(draft, event)
        end = replace(
            end,
            outcome=printed.outcome,
            exit_code=printed.exit_code,
            error=printed.error,
            final=end.final or printed.final,
        )
    elif event.children and event.outcome == "succeeded":
        wrong = children.why_impossible(draft.run.plan.steps[event.node], event.children)
        if not wrong:
            children.call(draft, event.node, event.token, event.children)
            return
        end = replace(end, outcome="failed", exit_code=1, error=wrong, final=True)
    draft.set_node(
        event.node,
        exit_code=end.exit_code,
        call_token="",
        outputs=dict(event.outputs),
        output_matched=node.output_matched or event.continue_output_matched,
        unmet=event.unmet,
    )
    conclude(draft, draft.nodes[event.node], end, event.worker_id, before=node.outputs)
    go_on(draft, event)


def given_up(draft: Draft, event: AttemptGivenUp) -> Ignored | None:
    """The worker could not report the start, or got no answer, so it did not run the attempt: replace the attempt.

    The old attempt does not count as a try.
    """
    attempt = draft.nodes[event.node].attempt
    if attempt is None or attempt.token != event.token:
        return Ignored(STALE_TOKEN)
    if attempt.state is AttemptState.RUNNING and not held_by(attempt, event):
        return Ignored(HELD_BY_ANOTHER)
    if attempt.state is AttemptState.DISPATCHED and event.doubt == Doubt.REDELIVERED:
        # Another worker may have begun it. The worker returned the task to the broker, so a worker will ask again.
        return Ignored("not begun")
    # The report of the start may still come, or its request. It must not count as an execution.
    draft.effects.append(execution_of(event, event.at, accepted=False, begun=False, why=_GIVEN_UP))
    draft.withdraw(event.node, _GIVEN_UP, Begun.NO)
    node = draft.nodes[event.node]
    if node.status is NodeStatus.RUNNING and draft.run.stop_reason:
        why = draft.run.stop_reason
        draft.move(event.node, NodeStatus.ABORTED, why, error=why, finished_at=draft.now)
    elif node.status is NodeStatus.RUNNING and node.number == 0:
        draft.move(event.node, NodeStatus.NOT_STARTED, "did not start", started_at=None, stdout="", stderr="")
    draft.note(event.node, f"{_GIVEN_UP}: a new task is sent")
    return None


def undelivered(draft: Draft, message: TaskUndelivered) -> Ignored | None:
    """The task reached no worker: replace the attempt by a new one with a new token.

    If the run had to use the worker of that task (placement ``stick``), it may now use another worker.
    """
    attempt = draft.nodes[message.node].attempt
    if attempt is None or attempt.token != message.token or attempt.state is not AttemptState.DISPATCHED:
        return Ignored(STALE_TOKEN)
    draft.withdraw(message.node, message.why, Begun.NEVER_SENT if message.never_sent else Begun.PERHAPS)
    draft.note(message.node, f"a new task is sent: {message.why}")
    _leave(draft, attempt.worker_id)
    return None


def barred(draft: Draft, message: TaskBarred) -> Ignored | None:
    """The task was not sent, and no other worker may take it: the node fails without a retry."""
    node = draft.nodes[message.node]
    attempt = node.attempt
    if attempt is None or attempt.token != message.token or attempt.state is not AttemptState.DISPATCHED:
        return Ignored(STALE_TOKEN)
    draft.close_attempt(message.node, AttemptState.WITHDRAWN, error=message.why, begun=Begun.NEVER_SENT)
    draft.set_node(message.node, number=node.number - 1, call_token="")
    node = draft.nodes[message.node]
    if node.kind == FOLLOW_UP:
        follow_ups.give_up(draft, node, message.why)
    elif node.kind == PREPARE:
        _not_prepared(draft, message.node, message.why)
    else:
        conclude(draft, node, End(_outcome_of_none(draft, node), _LOST_EXIT_CODE, message.why, final=True), "scheduler")
    return None


def _not_prepared(draft: Draft, idx: int, why: str) -> None:
    draft.move(idx, NodeStatus.FAILED, why, finished_at=draft.now, error=why)
    if not draft.run.stop_reason:
        draft.set_run(stop_reason=StopReason.PREPARE, error=why)


def lost(draft: Draft, message: AttemptLost) -> Ignored | None:
    """The attempt's worker is lost: if the attempt has started, it fails; otherwise, replace it by a new attempt.

    An attempt that has not started does not count as a try.
    """
    node = draft.nodes[message.node]
    attempt = node.attempt
    if attempt is None or attempt.token != message.token:
        return Ignored(STALE_TOKEN)
    _leave(draft, attempt.worker_id)
    if attempt.state is AttemptState.DISPATCHED:
        draft.withdraw(message.node, message.why)
        draft.note(message.node, f"a new task is sent: {message.why}")
        return None
    # ``started_at`` of a node is the start of its first attempt. The start of a later attempt is not stored.
    started_at = node.started_at if node.number == 1 else None
    draft.close_attempt(
        message.node,
        AttemptState.LOST,
        exit_code=_LOST_EXIT_CODE,
        error=message.why,
        started_at=started_at,
        begun=Begun.PERHAPS,
    )
    if attempt.worker_id is not None:
        draft.effects.append(Halt(attempt.worker_id, attempt.token, revoked=True, reason=message.why))
    _lost_in_execution(draft, node, message.why)
    return None


def _lost_in_execution(draft: Draft, node: Node, why: str) -> None:
    """Continue after the loss of an attempt that had started. ``node`` is as it was before the attempt was closed."""
    stopping = bool(draft.run.stop_reason)
    if node.kind == FOLLOW_UP:
        follow_ups.give_up(draft, draft.nodes[node.idx], why)
    elif node.kind == PREPARE and stopping:
        draft.move(node.idx, NodeStatus.ABORTED, why, error=why, finished_at=draft.now)
    elif not stopping and (repeated := _harmless_to_repeat(draft, node)):
        draft.note(node.idx, f"{repeated} again: {why}")
    else:
        draft.set_node(node.idx, exit_code=_LOST_EXIT_CODE, call_token="")
        end = End(_outcome_of_none(draft, node), _LOST_EXIT_CODE, why, final=stopping, any_code=True)
        conclude(draft, draft.nodes[node.idx], end, "scheduler")


def _harmless_to_repeat(draft: Draft, node: Node) -> str:
    """Return what an attempt of the node does, if it is harmless to do that twice; else an empty text."""
    if node.kind == PREPARE:
        return "env and params are evaluated"
    if _is_approval(draft, node):
        return "the prompt is printed"
    return "its result is printed" if node.call_token else ""


def _is_approval(draft: Draft, node: Node) -> bool:
    return node.kind == STEP and draft.run.plan.steps[node.idx].type == APPROVAL


def _outcome_of_none(draft: Draft, node: Node) -> Outcome:
    """Return the outcome of an execution that no worker reports."""
    return "aborted" if draft.run.stop_reason and node.kind != HANDLER else "failed"


def _run_again(draft: Draft, node: Node, event: AttemptFinished) -> None:
    _leave(draft, event.worker_id)
    draft.note(event.node, f"it is run again: {event.error}")
    if node.kind == HANDLER:
        # Unlike a step, a handler that is running and has no attempt is not dispatched.
        draft.move(event.node, NodeStatus.NOT_STARTED, event.error, event.worker_id)


def _runs_again_after_shutdown(draft: Draft, node: Node) -> bool:
    """Return whether an attempt that ended because its worker shut down is replaced, without counting as a retry.

    The commands of a step or handler are repeated only if the DAG says so.
    """
    if node.kind == FOLLOW_UP:
        return False
    return bool(_harmless_to_repeat(draft, node)) or draft.run.plan.dag.on_worker_shutdown == "rerun"


def _leave(draft: Draft, worker_id: str | None) -> None:
    # A run that has ended keeps the worker that it ran on, even if the worker of a follow-up is lost.
    if worker_id is not None and draft.run.worker_id == worker_id and draft.run.status is RunStatus.RUNNING:
        draft.set_run(worker_id=None, incarnation=None)
        draft.note(None, f"leaves worker {worker_id}: later steps do not find the files that steps wrote there")


def _prepared(draft: Draft, event: AttemptFinished, end: End) -> None:
    idx, now = event.node, draft.now
    values = PreparedValues.from_outputs(event.outputs)
    if values is not None and not draft.run.evaluated:
        params_json = draft.run.params_json if values.params_json is None else values.params_json
        draft.set_run(env=values.env, params=values.params, params_json=params_json)
    if end.outcome == "succeeded":
        draft.move(idx, NodeStatus.SUCCEEDED, "env and params are evaluated", event.worker_id, finished_at=now)
        return
    status = STATUS[end.outcome]
    why = end.error or str(status)
    draft.move(idx, status, why, event.worker_id, finished_at=now, error=end.error, unmet=event.unmet)
    if not draft.run.stop_reason:
        reason = StopReason.PRECONDITION if status is NodeStatus.SKIPPED else StopReason.PREPARE
        draft.set_run(stop_reason=reason, error=end.error)
