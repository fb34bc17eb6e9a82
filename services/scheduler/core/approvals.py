"""Steps that wait for a person, and runs that wait with them.

When nothing of a run goes on but such steps, its attempt ends in ``waiting``: no process, no place in
a queue, no time limit. The last approval asks for its next attempt. A step that called runs waits as
long as one of them does, and nothing else of it goes on; so does its run, at any depth.
A step that was set to waiting by hand can be approved or rejected whatever its run came to: an approval is then
the retry that such a step is set for, a rejection changes nothing but the step.
Source: workflow language, section 5.11.
"""

from services.scheduler.core.children import held_up, let_go
from services.scheduler.core.decision import Refused
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import Approve, Reject, Retry
from services.scheduler.core.model import Approval, Node
from services.scheduler.core.run_attempts import continue_run, retry
from shared.admission.runs import RESUMED
from shared.contracts.events import AttemptFinished
from shared.language.steps.approval import missing_inputs, undeclared_inputs
from shared.status import NodeStatus, RunStatus

__all__ = ["abandon", "approve", "ask", "reject", "resume_if_free", "waits"]


def waits(node: Node) -> bool:
    """Whether only a person can get this node any further."""
    return node.status is NodeStatus.WAITING and (not node.calls or held_up(node))


def ask(draft: Draft, event: AttemptFinished) -> None:
    """The step has said what it waits for."""
    draft.set_node(event.node, outputs=dict(event.outputs), exit_code=event.exit_code, error="")
    draft.move(event.node, NodeStatus.WAITING, "waits for approval", event.worker_id)


def approve(draft: Draft, message: Approve) -> Refused | None:
    """A person lets a step be done; what they gave with it is for the steps after it to read."""
    node = _waiting(draft, message)
    if isinstance(node, Refused):
        return node
    step, inputs = draft.run.plan.steps[node.idx], dict(message.inputs)
    if missing := missing_inputs(step, inputs):
        return Refused("bad_request", f"missing required inputs: [{', '.join(missing)}]")
    if undeclared := undeclared_inputs(step, inputs):
        return Refused("bad_request", f"step {step.name} does not ask for these inputs: [{', '.join(undeclared)}]")
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
    """A person forbids a step. A run that only waited is over at once, without handlers."""
    node = _waiting(draft, message)
    if isinstance(node, Refused):
        return node
    why = f"rejected: {message.reason}" if message.reason else "rejected"
    approval = Approval(granted=False, at=draft.now, by=message.user, reason=message.reason)
    draft.move(node.idx, NodeStatus.REJECTED, why, message.by, approval=approval, finished_at=draft.now)
    if draft.run.status is RunStatus.WAITING:
        why = f"step {node.name} was {why}"
        abandon(draft, why, message.by)
        draft.become(RunStatus.REJECTED, why, message.by, finished_at=draft.now)
    return None


def _waiting(draft: Draft, message: Approve | Reject) -> Node | Refused:
    idx = draft.run.plan.index.get(message.step)
    if idx is None:
        return Refused("not_found", f"step {message.step} not found")
    node, status = draft.nodes[idx], draft.run.status
    if node.status is not NodeStatus.WAITING:
        return Refused("bad_request", f"step {node.name} is {node.status}, not waiting for approval")
    if node.calls and (status.active or held_up(node)):
        return Refused("bad_request", f"step {node.name} waits for the runs it called: their steps need the approval")
    if status is RunStatus.RUNNING and draft.run.stop_reason:
        return Refused("bad_request", "DAG-run is stopping, not waiting")
    return node


def resume_if_free(draft: Draft, by: str) -> None:
    """Let a waiting run go on if none of its steps waits any more.

    It queues before all that have not begun. A run that another one called does so if it was queued
    to begin with, and else goes on at once. One that is over goes on by a retry, where nobody called it: what
    called it is over too, and a retry of that makes this one again.
    """
    if any(waits(node) for node in draft.steps):
        return
    if not draft.run.status.active and draft.run.is_root:
        draft.set_run(priority=RESUMED)
        retry(draft, Retry(by, queued=True))
    if draft.run.status is not RunStatus.WAITING:
        return
    if draft.run.is_root or draft.run.queued_at is not None:
        why = "nothing waits for approval any more"
        draft.become(RunStatus.QUEUED, why, by, queued_at=draft.now, finished_at=None, priority=RESUMED)
    else:
        continue_run(draft, by)


def abandon(draft: Draft, why: str, by: str) -> None:
    """Nobody needs to approve anything any more, here or below."""
    for node in draft.steps:
        if node.status is NodeStatus.WAITING:
            let_go(draft, node)
            draft.move(node.idx, NodeStatus.ABORTED, why, by, error=why, call_token="", finished_at=draft.now)
