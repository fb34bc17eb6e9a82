"""The next attempt of a run: by a retry, which resets the steps that did not succeed, or after approvals.

Source: docs/workflow-language.md#where-things-happen and docs/workflow-language.md#steps-that-wait-for-a-person.
"""

from collections.abc import Sequence
from datetime import timedelta

from services.scheduler.core.children import only_approvals_left
from services.scheduler.core.decision import THE_RUN, Refused, WakeAt
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import Begin, Retry
from services.scheduler.core.model import NO_CHILDREN, Node, Run, evolve
from services.scheduler.core.plan import HANDLER, Plan
from shared.admission.runs import own_priority
from shared.status import NodeStatus, RunStatus, TimerKind

__all__ = ["begin", "carry_over", "complete", "continue_run", "refusal", "retry"]


def refusal(run: Run, step: str) -> Refused | None:
    """Return why ``run`` cannot be retried, in place or as a new run, or ``None`` if it can.

    ``step``: the only step to run again, or empty.
    """
    if run.status in {RunStatus.RUNNING, RunStatus.QUEUED}:
        return Refused("already_running", f"Run {run.dag_run_id!r} is {run.status} already")
    if step and step not in run.plan.index:
        return Refused("not_found", f"Run {run.dag_run_id!r} has no step {step!r}")
    return None


def begin(draft: Draft, message: Begin) -> None:
    """Start the first run attempt. The history begins with the results that were kept of the run that it retries."""
    why = "begins"
    if message.retries:
        only = draft.run.only_step
        why = f"begins, a retry of {f'step {only} of ' if only else ''}run {message.retries}"
    draft.become(RunStatus.RUNNING, why, message.by, started_at=draft.now)
    for node in draft.steps:
        if message.retries and node.status is not NodeStatus.NOT_STARTED:
            draft.note_kept(node.idx, f"kept from run {message.retries}", message.by)
    _limit_time(draft)


def retry(draft: Draft, message: Retry) -> Refused | None:
    """Start or queue a run attempt that runs the steps again that did not succeed, or only ``message.step``."""
    refused = refusal(draft.run, message.step)
    if refused is not None:
        return refused
    why = f"retry of step {message.step}" if message.step else "retry"
    draft.set_run(only_step=message.step, stop_reason=None, error="", priority=own_priority(draft.run.priority))
    if message.queued:
        why = f"{why}, queued"
        draft.become(RunStatus.QUEUED, why, message.by, queued_at=draft.now, finished_at=None)
    else:
        _next_attempt(draft, why, message.by)
    for idx in _to_run_again(draft, message.step):
        draft.reset_node(idx, "reset by retry", message.by)
    return None


def continue_run(draft: Draft, by: str) -> None:
    """Start the run attempt after approvals or a queued retry; finished steps keep their results."""
    _next_attempt(draft, "continues", by)
    for node in draft.nodes:
        if node.kind == HANDLER:
            draft.reset_node(node.idx, "reset for the next attempt", by)
        elif node.status is NodeStatus.WAITING and node.calls and not only_approvals_left(node):
            draft.move(node.idx, NodeStatus.RUNNING, "its sub-runs continue", by)


def _next_attempt(draft: Draft, why: str, by: str) -> None:
    run = draft.run
    draft.become(
        RunStatus.RUNNING,
        why,
        by,
        run_attempt=run.run_attempt + 1,
        started_at=draft.now,
        finished_at=None,
        first_started_at=run.first_started_at or run.started_at,
    )
    _limit_time(draft)


def _limit_time(draft: Draft) -> None:
    """Set the timer of the run's time limit, if it has one."""
    limit_s = draft.run.plan.dag.timeout_sec
    if limit_s > 0:
        draft.effects.append(WakeAt(THE_RUN, TimerKind.TIMEOUT, draft.now + timedelta(seconds=limit_s)))


def _to_run_again(draft: Draft, step: str) -> list[int]:
    """Return the nodes that a retry resets."""
    again = {node.idx for node in draft.nodes if node.kind == HANDLER}
    prepare = draft.prepare
    if prepare is not None and prepare.status is not NodeStatus.SUCCEEDED:
        again.add(prepare.idx)
    if step:
        # In a run that has ended, a status "running" was set by hand. Not reset, the run would wait for that step.
        by_hand = {node.idx for node in draft.steps if node.status is NodeStatus.RUNNING}
        return sorted(again | by_hand | {draft.run.plan.index[step]})
    return sorted(again | _unfinished(draft.run.plan, draft.steps))


def complete(run: Run) -> bool:
    """Whether a retry would keep the result of every step."""
    return not _unfinished(run.plan, run.steps)


def _unfinished(plan: Plan, steps: Sequence[Node]) -> set[int]:
    """Return the steps whose results a retry does not keep.

    These are the pending steps, and the steps that ended without success, with all their dependents.
    """
    found: set[int] = set()
    for node in steps:
        if not (node.status.done or node.status is NodeStatus.WAITING):
            found.add(node.idx)
            if node.status is not NodeStatus.NOT_STARTED:
                found.update(plan.descendants(node.idx))
    return found


def carry_over(run: Run, source: Run, step: str) -> Run:
    """Return ``run``, a new run with the same spec, with the results of the successful steps of ``source``.

    ``step``: the only step that the new run runs, or empty.
    """
    again = {run.plan.index[step]} if step else _unfinished(run.plan, source.steps)
    kept = tuple(
        _result(old) if old.status.done and old.idx not in again else new
        for new, old in zip(run.steps, source.steps, strict=True)
    )
    nodes = kept + run.nodes[len(kept) :]
    return evolve(run, nodes=nodes, env=source.env, params=source.params, only_step=step)


def _result(node: Node) -> Node:
    """Return the result of a node for a new run, where it has no attempts, and so no log and no sub-runs.

    The paths of its output files stay, because steps of the new run may read them.
    """
    return evolve(node, attempt=None, number=0, children=NO_CHILDREN)
