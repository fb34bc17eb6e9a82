"""Chains: after a step that succeeded, its worker begins the next one itself and reports both at once (ADR 63).

A decision then costs no round trip between two short steps. The worker begins the next step only after the broker has
confirmed the report of the first one's end, so no more can be lost than without chains. The tokens of a chain follow
from the first one's (see ``attempt_tokens``), so nothing is stored before the worker has gone on.
"""

from datetime import timedelta

from services.scheduler.core.decision import STALE_TOKEN, Halt, Ignored
from services.scheduler.core.draft import Draft
from services.scheduler.core.model import Node, Run, evolve
from services.scheduler.core.plan import FOLLOW_UP, HANDLER, PREPARE, STEP
from services.scheduler.core.starts import begin, held_by, turned_away
from services.scheduler.core.step_rules import derive_status
from services.scheduler.core.tasks import MOST_FOLLOWING, make_following
from shared.contracts.attempt_tokens import token_in_chain
from shared.contracts.events import AttemptFinished, AttemptStarted, NextStart
from shared.contracts.tasks import FollowingStep
from shared.language.model import Handler
from shared.status import NodeStatus, RunStatus

__all__ = ["following", "go_on", "ignore_end", "previous_nodes"]

_SHORT = timedelta(seconds=1)
"""If the step before took longer, the next ones probably do too, and no worker goes on after them."""


def following(draft: Draft, idx: int, token: str) -> tuple[FollowingStep, ...]:
    """Return the steps and handlers that the worker may run after node ``idx``, whose attempt has this token."""
    run, nodes = draft.run, draft.nodes
    if nodes[idx].kind == FOLLOW_UP or run.only_step or run.stop_reason or _took_long(draft, idx):
        return ()
    found: list[FollowingStep] = []
    while len(found) < MOST_FOLLOWING and (after := _after(run, idx)) is not None and _untouched(nodes[after]):
        status = _status_for(draft, idx, after)
        # Of steps beside the chain the worker knows what was true when it got the task.
        if status is None or (nodes[idx].kind == nodes[after].kind == STEP and run.plan.refers_beside(after)):
            break
        found.append(make_following(run, nodes, after, token_in_chain(token, after), status))
        idx = after
    return tuple(found)


def previous_nodes(run: Run, idx: int) -> tuple[int, ...]:
    """Return the nodes after which a worker may begin node ``idx`` itself."""
    if idx == run.plan.first_in_chain:
        return tuple(node.idx for node in run.nodes[-1:] if node.kind == PREPARE)
    return run.plan.previous_in_chain.get(idx, ())


def _after(run: Run, idx: int) -> int | None:
    """Return the node that a worker may begin itself after node ``idx``, if there is one."""
    return run.plan.first_in_chain if run.nodes[idx].kind == PREPARE else run.plan.next_in_chain.get(idx)


def _status_for(draft: Draft, idx: int, after: int) -> str | None:
    """Return the status of the run that node ``after`` sees if node ``idx`` succeeds: empty for a step.

    ``None`` if the run would not succeed, so that another handler comes after its last step.
    """
    plan, nodes = draft.run.plan, draft.nodes
    if nodes[after].kind != HANDLER:
        return ""
    if after == plan.handlers.get(Handler.INIT):
        return str(RunStatus.RUNNING)
    steps = [node if node.status.terminal else evolve(node, status=NodeStatus.SUCCEEDED) for node in draft.steps]
    status = derive_status(draft.run, steps)
    return str(status) if status.successful or nodes[idx].kind == HANDLER else None


def go_on(draft: Draft, event: AttemptFinished) -> None:
    """If the worker has begun the next step of the chain itself, open that step's attempt and record its start.

    If the run is being stopped, this attempt is stopped too.
    """
    start = event.next_start
    if start is None:
        return
    idx = _after(draft.run, event.node)
    if (
        idx is None
        or event.outcome != "succeeded"
        or start.token != token_in_chain(event.token, idx)
        or not _untouched(draft.nodes[idx])
    ):
        draft.effects.extend(ignore_end(draft, event, STALE_TOKEN).effects)
        return
    attempt = draft.open_next_in_chain(idx, start.token, event.worker_id, event.at)
    begin(draft, attempt, _started(event, start, idx), start.at)
    # The step ended before the next one began, whenever that was recorded.
    draft.set_node(event.node, finished_at=draft.nodes[idx].started_at)
    if draft.run.stop_reason:
        draft.effects.append(Halt(event.worker_id, start.token, revoked=False, reason=draft.run.stop_reason))


def ignore_end(draft: Draft, event: AttemptFinished, why: str) -> Ignored:
    """Ignore the report of an attempt that is not open. If the worker has begun the next step, halt and record that."""
    start = event.next_start
    if start is None:
        return Ignored(why)
    after = _after(draft.run, event.node)
    idx = event.node if after is None else after
    attempt = draft.nodes[idx].attempt
    if attempt is not None and attempt.token == start.token and held_by(attempt, event):
        return Ignored(why)  # the same report, a second time
    # Even if another worker runs it: in copies of one task the steps of a chain have the same tokens.
    return turned_away(_started(event, start, idx), why)


def _started(event: AttemptFinished, start: NextStart, idx: int) -> AttemptStarted:
    """Return the report of the next step's start."""
    return AttemptStarted(
        token=start.token,
        run_key=event.run_key,
        node=idx,
        worker_id=event.worker_id,
        incarnation=event.incarnation,
        at=start.at,
        stdout=start.stdout,
        stderr=start.stderr,
    )


def _untouched(node: Node) -> bool:
    return node.status is NodeStatus.NOT_STARTED and node.attempt is None and not node.number


def _took_long(draft: Draft, idx: int) -> bool:
    """Return whether the step before step ``idx`` took long. If there are several, the first one counts."""
    plan = draft.run.plan
    for parent in plan.depends[idx][:1] if idx < len(plan.depends) else ():
        node = draft.nodes[parent]
        if node.started_at is not None and node.finished_at is not None:
            return node.finished_at - node.started_at > _SHORT
    return False
