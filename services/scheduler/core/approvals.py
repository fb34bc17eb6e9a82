"""Approvals: steps that wait for an approval, and runs that wait for such steps.

When only steps that wait for approval are left, the run attempt ends with status ``waiting``. A waiting run has no
process, no place in a queue and no time limit. The last approval starts the next run attempt. A step that called
sub-runs is ``waiting`` while one of them waits and the others have succeeded; then its run may wait too, and so on up
to the root run.

A step that was set to ``waiting`` by hand can be approved or rejected in a run of any status. In a run that has ended,
an approval retries the run, and a rejection changes only the step.
Source: docs/workflow-language.md#steps-that-wait-for-a-person.
"""

from services.scheduler.core.children import only_approvals_left, stop_children
from services.scheduler.core.decision import Refused
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import Approve, Reject, Retry
from services.scheduler.core.model import Approval, Node
from services.scheduler.core.run_attempts import continue_run, retry
from shared.admission.runs import RESUMED, own_priority
from shared.contracts.events import AttemptFinished
from shared.language.steps.approval import missing_inputs, undeclared_inputs
from shared.status import NodeStatus, RunStatus

__all__ = ["abandon", "approve", "ask", "reject", "resume_if_free", "waits"]


def waits(node: Node) -> bool:
    """Whether the node can only continue after an approval."""
    return node.status is NodeStatus.WAITING and (not node.calls or only_approvals_left(node))


def ask(draft: Draft, event: AttemptFinished) -> None:
    """Set a step to ``waiting``: its prompt is printed, and it needs an approval."""
    draft.set_node(event.node, outputs=dict(event.outputs), exit_code=event.exit_code, error="")
    draft.move(event.node, NodeStatus.WAITING, "waits for approval", event.worker_id)


def approve(draft: Draft, message: Approve) -> Refused | None:
    """Approve a waiting step. Its dependents can read the inputs that were given with the approval."""
    node = _waiting(draft, message)
    if isinstance(node, Refused):
        return node
    step, inputs = draft.run.plan.steps[node.idx], dict(message.inputs)
    if missing := missing_inputs(step, inputs):
        return Refused("bad_request", f"missing required inputs: [{', '.join(missing)}]")
    if undeclared := undeclared_inputs(step, inputs):
        return Refused("bad_request", f"Step {step.name!r} does not ask for these inputs: [{', '.join(undeclared)}]")
    draft.move(
        node.idx,
        NodeStatus.SUCCEEDED,
        "approved",
        message.by,
        done_count=node.done_count + 1,
        outputs={**node.outputs, **inputs},
        approval=Approval(granted=True, at=draft.now, by=message.user, inputs=inputs),
        finished_at=draft.now,
    )
    resume_if_free(draft, message.by)
    return None


def reject(draft: Draft, message: Reject) -> Refused | None:
    """Reject a step that waits for approval.

    A run with status ``waiting`` ends in the same decision, without handlers.
    """
    node = _waiting(draft, message)
    if isinstance(node, Refused):
        return node
    why = f"rejected: {message.reason}" if message.reason else "rejected"
    approval = Approval(granted=False, at=draft.now, by=message.user, reason=message.reason)
    draft.move(
        node.idx,
        NodeStatus.REJECTED,
        why,
        message.by,
        done_count=node.done_count + 1,
        approval=approval,
        finished_at=draft.now,
    )
    if draft.run.status is RunStatus.WAITING:
        why = f"step {node.name} was {why}"
        abandon(draft, why, message.by)
        draft.become(RunStatus.REJECTED, why, message.by, finished_at=draft.now)
    return None


def _waiting(draft: Draft, message: Approve | Reject) -> Node | Refused:
    idx = draft.run.plan.index.get(message.step)
    if idx is None:
        return Refused("not_found", f"Run {draft.run.dag_run_id!r} has no step {message.step!r}")
    node, status = draft.nodes[idx], draft.run.status
    if node.status is not NodeStatus.WAITING:
        return Refused("bad_request", f"Step {node.name!r} is {node.status}, not waiting for approval")
    if node.calls and (status.active or only_approvals_left(node)):
        return Refused("bad_request", f"Step {node.name!r} waits for its sub-runs: approve or reject their steps")
    if status is RunStatus.RUNNING and draft.run.stop_reason:
        return Refused(
            "bad_request", f"Run {draft.run.dag_run_id!r} is being stopped: no step of it can be approved or rejected"
        )
    return node


def resume_if_free(draft: Draft, by: str) -> None:
    """Continue a waiting run if none of its steps waits for approval any more.

    A root run is queued, before all runs that have not started. So is a sub-run that was queued before; any other
    sub-run starts its next run attempt in the same decision. If the run has ended (a step was set to ``waiting`` by
    hand), a root run is retried. A sub-run is not: its parent has ended too, and a retry of the parent retries it.
    """
    if draft.tally.statuses[NodeStatus.WAITING] and any(waits(node) for node in draft.steps):
        return
    if not draft.run.status.active and draft.run.is_root:
        retry(draft, Retry(by, queued=True))
        draft.set_run(priority=RESUMED + draft.run.priority)
    if draft.run.status is not RunStatus.WAITING:
        return
    if draft.run.is_root or draft.run.queued_at is not None:
        why = "nothing waits for approval any more"
        priority = RESUMED + own_priority(draft.run.priority)
        draft.become(RunStatus.QUEUED, why, by, queued_at=draft.now, finished_at=None, priority=priority)
    else:
        continue_run(draft, by)


def abandon(draft: Draft, why: str, by: str) -> None:
    """Abort all steps that wait for approval, and stop their sub-runs."""
    for node in draft.steps:
        if node.status is NodeStatus.WAITING:
            stop_children(draft, node)
            draft.move(node.idx, NodeStatus.ABORTED, why, by, error=why, call_token="", finished_at=draft.now)
