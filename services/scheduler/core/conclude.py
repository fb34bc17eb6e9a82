"""Concludes an execution of a node: sets its final status, its next retry, or its next repetition."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from services.scheduler.core.decision import WakeAt
from services.scheduler.core.draft import Draft
from services.scheduler.core.model import Node, evolve
from services.scheduler.core.plan import HANDLER
from services.scheduler.core.step_rules import lets_dependents_run, repeat_wait_s, retry_wait_s
from shared.contracts.events import UNMET, Outcome
from shared.language.model import Handler, RetryPolicy, Step
from shared.status import NodeStatus, StopReason, TimerKind

__all__ = ["STATUS", "End", "EndOutcome", "conclude"]

EndOutcome = Outcome | Literal["partially_succeeded"]
"""How an execution ended: as its worker reports, or as its sub-runs did."""
STATUS: Mapping[EndOutcome, NodeStatus] = {
    "succeeded": NodeStatus.SUCCEEDED,
    "partially_succeeded": NodeStatus.PARTIALLY_SUCCEEDED,
    "skipped": NodeStatus.SKIPPED,
    "aborted": NodeStatus.ABORTED,
    "failed": NodeStatus.FAILED,
    "timed_out": NodeStatus.FAILED,
    "broken": NodeStatus.FAILED,
}
_REPEATABLE = frozenset({NodeStatus.SUCCEEDED, NodeStatus.PARTIALLY_SUCCEEDED, NodeStatus.FAILED})


@dataclass(frozen=True, slots=True)
class End:
    """How an execution ended.

    ``final``: do not retry. ``any_code``: retry even if the retry policy does not list the exit code. The last three
    fields are values that only a worker can evaluate: ``condition_met`` of the repeat policy, and ``limit`` and
    ``interval`` of the retry policy if the spec has expressions for them.
    """

    outcome: EndOutcome
    exit_code: int
    error: str
    final: bool = False
    any_code: bool = False
    condition_met: bool | None = None
    retry_limit: int | None = None
    retry_interval_s: float | None = None


def conclude(draft: Draft, node: Node, end: End, by: str, before: Mapping[str, str] | None = None) -> None:
    """Set the status of a step or handler after an execution, or schedule its next execution.

    ``before``: the outputs of the step before this execution, if they have changed. A retry in a repetition sees them.
    """
    status = STATUS[end.outcome]
    step = draft.run.plan.steps[node.idx]
    if node.kind != HANDLER:
        if status is NodeStatus.FAILED:
            wait_s = None if end.final else retry_wait_s(_policy(step, end), node, end.exit_code)
            if wait_s is not None:
                outputs = before if before is not None and node.done_count else node.outputs
                draft.set_node(node.idx, retry_count=node.retry_count + 1, error=end.error, outputs=outputs)
                _again(draft, node.idx, wait_s, f"{_why(end)}; tries again in {wait_s:g} s", by)
                return
        if status not in {NodeStatus.SKIPPED, NodeStatus.ABORTED}:
            # An execution with all its retries counts once. Handlers are not counted.
            node = evolve(node, done_count=node.done_count + 1)
            draft.set_node(node.idx, done_count=node.done_count)
        if not draft.run.stop_reason and status in _REPEATABLE:
            success = status is not NodeStatus.FAILED
            wait_s = repeat_wait_s(step.repeat_policy, node, end.exit_code, end.condition_met, success=success)
            if wait_s is not None:
                draft.set_node(node.idx, error="")
                _again(draft, node.idx, wait_s, f"{_why(end)}; repeats in {wait_s:g} s", by)
                return
        failed = evolve(node, status=status, exit_code=end.exit_code)
        forgiven = step.continue_on.mark_success and end.outcome != "timed_out"
        if status is NodeStatus.FAILED and forgiven and lets_dependents_run(step, failed):
            status = NodeStatus.SUCCEEDED
    # A step marked as a success keeps its error.
    keeps_error = STATUS[end.outcome] in {NodeStatus.FAILED, NodeStatus.ABORTED} or (
        # A precondition that cannot be evaluated is an error; a precondition that is not met is not an error.
        status is NodeStatus.SKIPPED and not end.error.startswith(UNMET)
    )
    error = end.error if keeps_error else ""
    draft.move(node.idx, status, _why(end), by, error=error, finished_at=draft.now)
    is_init = draft.run.plan.handlers.get(Handler.INIT) == node.idx
    if is_init and status is NodeStatus.FAILED and not draft.run.stop_reason:
        draft.set_run(stop_reason=StopReason.INIT)


def _why(end: End) -> str:
    return end.error or f"exit code {end.exit_code}"


def _policy(step: Step, end: End) -> RetryPolicy | None:
    policy = step.retry_policy
    if policy is None:
        return None
    known = {"limit": end.retry_limit, "interval_sec": end.retry_interval_s}
    changes: dict[str, object] = {name: value for name, value in known.items() if value is not None}
    if end.any_code:
        changes["exit_code"] = ()
    return policy.model_copy(update=changes) if changes else policy


def _again(draft: Draft, idx: int, wait_s: float, why: str, by: str) -> None:
    due_at = draft.now + timedelta(seconds=wait_s)
    draft.set_node(idx, retry_at=due_at if wait_s > 0 else None)
    draft.note(idx, why, by)
    if draft.nodes[idx].status is NodeStatus.NOT_STARTED:
        draft.move(idx, NodeStatus.RUNNING, "waits for its next execution", by)
    if wait_s > 0:
        draft.effects.append(WakeAt(idx, TimerKind.RETRY, due_at))
