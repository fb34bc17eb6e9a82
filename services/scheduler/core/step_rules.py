"""The language's run-time rules as plain questions about a run: no changes are made here."""

from collections.abc import Sequence

from services.scheduler.core.model import Node, Run
from services.scheduler.core.plan import Plan
from shared.language.model import RepeatMode, RepeatPolicy, RetryPolicy, Step
from shared.status import NodeStatus, RunStatus

__all__ = [
    "UPSTREAM_ABORTED",
    "blocked_by",
    "derive_status",
    "lets_dependents_run",
    "ready",
    "repeat_wait_s",
    "retry_wait_s",
]

_GOOD = frozenset({NodeStatus.SUCCEEDED, NodeStatus.PARTIALLY_SUCCEEDED})
UPSTREAM_ABORTED = "upstream aborted"
"""Why a step is aborted, though no error of it: that is told where it happened."""
_LONGEST_WAIT_S = 1e9
"""The language's limit on any span of time: a growing wait stays a date that can be written down."""
_HARMLESS = frozenset({NodeStatus.SUCCEEDED, NodeStatus.SKIPPED, NodeStatus.PARTIALLY_SUCCEEDED})


def lets_dependents_run(step: Step, node: Node) -> bool:
    """Whether a finished step's dependents may start (workflow language, sections 3.7 and 5.3)."""
    if node.status in _GOOD:
        return True
    if node.status is NodeStatus.FAILED:
        rule = step.continue_on
        return rule.failure or node.output_matched or (node.exit_code is not None and node.exit_code in rule.exit_code)
    return node.status is NodeStatus.SKIPPED and step.continue_on.skipped


def blocked_by(plan: Plan, nodes: Sequence[Node], idx: int) -> tuple[NodeStatus, str] | None:
    """Return what a pending step becomes because of its dependencies, or ``None``.

    The last blocking dependency in the list decides (workflow language, section 5.3).
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
            # It brings no error, and takes none away.
            verdict = (NodeStatus.ABORTED, verdict[1] if verdict is not None else UPSTREAM_ABORTED)
        else:
            verdict = (NodeStatus.ABORTED, "upstream failed")
    return verdict


def ready(plan: Plan, nodes: Sequence[Node], idx: int) -> bool:
    """Whether a pending step's dependencies all let it run now."""
    return all(lets_dependents_run(plan.steps[parent], nodes[parent]) for parent in plan.depends[idx])


def derive_status(run: Run, nodes: Sequence[Node]) -> RunStatus:
    """Return what the run's steps amount to (workflow language, section 5.4).

    ``nodes`` are those of steps. Handlers are judged by the caller.
    """
    plan = run.plan
    harmless = all(node.status in _HARMLESS for node in nodes)
    if run.stop_reason in {"timeout", "prepare"}:
        return RunStatus.FAILED
    if run.stop_reason and not harmless:
        return RunStatus.ABORTED
    if run.stop_reason == "init":
        return RunStatus.FAILED
    if any(node.status is NodeStatus.REJECTED for node in nodes):
        return RunStatus.REJECTED
    if any(node.status is NodeStatus.WAITING for node in nodes):
        return RunStatus.WAITING
    failed = [node for node in nodes if node.status is NodeStatus.FAILED]
    tolerated = [node for node in failed if lets_dependents_run(plan.steps[node.idx], node)]
    # What would have been marked as a success, had it not run out of time, is no partial one (section 5.4, rule 3).
    forgiven = [node for node in tolerated if not plan.steps[node.idx].continue_on.mark_success]
    partial = any(node.status is NodeStatus.PARTIALLY_SUCCEEDED for node in nodes)
    hard = len(failed) > len(tolerated)
    if not hard and any(node.status in _GOOD for node in nodes) and (forgiven or partial):
        return RunStatus.PARTIALLY_SUCCEEDED
    if failed or any(node.status is NodeStatus.ABORTED for node in nodes):
        return RunStatus.FAILED
    return RunStatus.SUCCEEDED


def retry_wait_s(policy: RetryPolicy | None, node: Node, exit_code: int) -> float | None:
    """Return the seconds to wait before trying again, or ``None``: no more tries.

    Source: workflow language, section 3.8; the k-th wait is ``interval * backoff ** k``, capped.
    """
    if policy is None or node.retry_count >= _number(policy.limit):
        return None
    if policy.exit_code and exit_code not in policy.exit_code:
        return None
    return _wait_s(_number(policy.interval_sec), policy.backoff, node.retry_count, policy.max_interval_sec)


def repeat_wait_s(
    policy: RepeatPolicy | None, node: Node, exit_code: int, condition_met: bool | None, *, success: bool
) -> float | None:
    """Return the seconds to wait before the next execution, or ``None``: this was the last.

    ``condition_met`` is ``None`` where nobody could evaluate the condition: then it was the last,
    since a loop whose end cannot be seen must not go on. Source: workflow language, section 3.8.
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
    if not interval or not backoff:
        return min(interval, longest)
    try:
        return min(interval * backoff**exponent, longest)
    except OverflowError:
        return longest


def _number(value: float | str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0
