"""The run-time rules of the workflow language, as pure functions of a run's state."""

from collections.abc import Sequence

from services.scheduler.core.model import Node, Run
from services.scheduler.core.plan import Plan
from shared.language.model import RepeatMode, RepeatPolicy, RetryPolicy, Step
from shared.status import NodeStatus, RunStatus, StopReason

__all__ = [
    "UPSTREAM_ABORTED",
    "blocked_by",
    "derive_status",
    "lets_dependents_run",
    "ready",
    "repeat_wait_s",
    "retry_wait_s",
]

UPSTREAM_ABORTED = "upstream aborted"
"""Why a step is aborted. It is not stored as the step's ``error``: the step that caused it has the error."""
_LONGEST_WAIT_S = 1e9
"""The workflow language's limit on durations. It keeps an exponential backoff within valid dates."""


def lets_dependents_run(step: Step, node: Node) -> bool:
    """Whether the dependents of a finished step may start. Source: docs/workflow-reference.md#order-and-conditions."""
    if node.status.successful:
        return True
    if node.status is NodeStatus.FAILED:
        return step.continue_on.tolerates(node.exit_code, output_matched=node.output_matched)
    return node.status is NodeStatus.SKIPPED and step.continue_on.skipped


def blocked_by(plan: Plan, nodes: Sequence[Node], idx: int) -> tuple[NodeStatus, str] | None:
    """Return the status of a pending step that its dependencies block, and why; ``None`` if none blocks it.

    The last blocking dependency in the list decides, as in Dagu.
    """
    verdict: tuple[NodeStatus, str] | None = None
    for parent in plan.depends[idx]:
        node = nodes[parent]
        if not node.status.terminal or lets_dependents_run(plan.steps[parent], node):
            continue
        if node.status is NodeStatus.SKIPPED:
            verdict = (NodeStatus.SKIPPED, "upstream skipped")
        elif node.status is NodeStatus.REJECTED:
            verdict = (NodeStatus.ABORTED, "upstream rejected")
        elif node.status is NodeStatus.ABORTED:
            # An aborted dependency has no error of its own, so the error of an earlier dependency is kept.
            verdict = (NodeStatus.ABORTED, verdict[1] if verdict is not None else UPSTREAM_ABORTED)
        else:
            verdict = (NodeStatus.ABORTED, "upstream failed")
    return verdict


def ready(plan: Plan, nodes: Sequence[Node], idx: int) -> bool:
    """Whether all dependencies of a pending step have ended and let it start."""
    return all(lets_dependents_run(plan.steps[parent], nodes[parent]) for parent in plan.depends[idx])


def derive_status(run: Run, nodes: Sequence[Node]) -> RunStatus:
    """Return the run's final status from its steps, by the rules of Dagu.

    ``nodes`` are the nodes of the steps. The caller applies the outcomes of handlers.
    """
    plan = run.plan
    harmless = all(node.status.done for node in nodes)
    if run.stop_reason in {StopReason.TIMEOUT, StopReason.PREPARE}:
        return RunStatus.FAILED
    if run.stop_reason and not harmless:
        return RunStatus.ABORTED
    if run.stop_reason is StopReason.INIT:
        return RunStatus.FAILED
    if any(node.status is NodeStatus.REJECTED for node in nodes):
        return RunStatus.REJECTED
    if any(node.status is NodeStatus.WAITING for node in nodes):
        return RunStatus.WAITING
    failed = [node for node in nodes if node.status is NodeStatus.FAILED]
    tolerated = [node for node in failed if lets_dependents_run(plan.steps[node.idx], node)]
    # A step with ``markSuccess`` is failed only if it timed out, and then it does not make the run partially
    # succeeded.
    forgiven = [node for node in tolerated if not plan.steps[node.idx].continue_on.mark_success]
    partial = any(node.status is NodeStatus.PARTIALLY_SUCCEEDED for node in nodes)
    hard = len(failed) > len(tolerated)
    if not hard and any(node.status.successful for node in nodes) and (forgiven or partial):
        return RunStatus.PARTIALLY_SUCCEEDED
    if failed or any(node.status is NodeStatus.ABORTED for node in nodes):
        return RunStatus.FAILED
    return RunStatus.SUCCEEDED


def retry_wait_s(policy: RetryPolicy | None, node: Node, exit_code: int) -> float | None:
    """Return the seconds to wait before the next retry, or ``None`` if there is no further retry.

    The k-th wait (k from 0) is ``interval * backoff ** k``, capped.
    Source: docs/workflow-reference.md#retries-and-repetitions.
    """
    if policy is None or node.retry_count >= _number(policy.limit):
        return None
    if policy.exit_code and exit_code not in policy.exit_code:
        return None
    return _wait_s(_number(policy.interval_sec), policy.backoff, node.retry_count, policy.max_interval_sec)


def repeat_wait_s(
    policy: RepeatPolicy | None, node: Node, exit_code: int, condition_met: bool | None, *, success: bool
) -> float | None:
    """Return the seconds to wait before the next repetition, or ``None`` if there is no further repetition.

    ``condition_met`` is ``None`` if the condition could not be evaluated. Then the repetition ends, because it might
    never end otherwise. Source: docs/workflow-reference.md#retries-and-repetitions.
    """
    if policy is None or (policy.limit and node.done_count >= policy.limit):
        return None
    if policy.condition is not None:
        if condition_met is None:
            return None
        holds = condition_met
    elif policy.exit_code:
        holds = exit_code in policy.exit_code
    else:
        holds = success
    if holds != (policy.repeat is RepeatMode.WHILE):
        return None
    return _wait_s(policy.interval_sec, policy.backoff, max(node.done_count - 1, 0), policy.max_interval_sec)


def _wait_s(interval: float, backoff: float, exponent: int, longest: float) -> float:
    longest = longest or _LONGEST_WAIT_S
    interval = max(0.0, interval)  # a retry policy may take it from a variable, so it can be any number
    if not interval or not backoff:
        return min(interval, longest)
    try:
        return min(interval * backoff**exponent, longest)
    except OverflowError:
        return longest


def _number(value: float | str) -> float:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return 0
