"""Follow-ups: a worker sends the mails of a run and removes its container.

One node of the run (kind ``FOLLOW_UP``) runs them, one attempt at a time, during the run or after its end. It never
changes the status of the run or of another node. Its ``outputs`` list the pending follow-ups as ``{cause: tries so
far}``. The cause is ``end`` (the run attempt ended) or the index of a node that failed. If the worker is lost, the
follow-up runs again, so a mail may be sent twice, with the same Message-ID.
Source: docs/executors.md#mails-of-a-run.
"""

from collections.abc import Container, Iterable
from itertools import chain, count

from services.scheduler.core.decision import Dispatch
from services.scheduler.core.draft import Draft
from services.scheduler.core.model import Node
from services.scheduler.core.plan import FOLLOW_UP, HANDLER, STEP
from services.scheduler.core.tasks import make_task
from shared.contracts.events import AttemptFinished
from shared.contracts.follow_ups import FollowUp, Mail, NodeReport
from shared.language.model import Dag, MailSettings
from shared.status import NodeStatus, RunStatus

__all__ = ["finished", "follow", "free_name", "give_up", "needed", "owes_end"]

END = "end"
_TRIES = 3
_TIMEOUT_S = 180
_MOST_NODES = 500
_LONGEST_ERROR = 1_000


def needed(dag: Dag) -> bool:
    """Whether runs of the DAG may need follow-ups."""
    by_step = any(step.mail_on_error for step in (*dag.steps, *dag.handlers.values()))
    on = dag.mail_on
    return on.failure or on.success or on.wait or (by_step and dag.error_mail is not None) or _own_container(dag)


def free_name(taken: Container[str]) -> str:
    """Return a name for the follow-up node that is not ``taken`` by a step or handler, which would hide its log."""
    names = chain(["follow-up"], (f"follow-up-{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def _own_container(dag: Dag) -> bool:
    """Whether runs of the DAG start a container that must be removed when the run ends."""
    return isinstance(dag.container, dict) and "image" in dag.container and not dag.container.get("keepContainer")


def _node(draft: Draft) -> Node | None:
    place = len(draft.run.plan.steps)
    node = draft.nodes[place] if place < len(draft.nodes) else None
    return node if node is not None and node.kind == FOLLOW_UP else None


def owes_end(draft: Draft) -> bool:
    """Whether the follow-up at the end of an earlier run attempt is unfinished. The next run attempt waits for it."""
    node = _node(draft)
    return node is not None and END in node.outputs


def follow(draft: Draft, was: RunStatus, changes: Iterable[tuple[Node, Node]]) -> None:
    """Add the follow-ups that a decision requires; dispatch them if none is running.

    ``was``: the status of the run before the decision. ``changes``: changed nodes before and after it.
    """
    node = _node(draft)
    if node is None:
        return
    owed = dict(node.outputs)
    dag, steps = draft.run.plan.dag, draft.run.plan.steps
    if dag.error_mail is not None:
        for old, new in changes:
            failed = new.status is NodeStatus.FAILED and old.status is not NodeStatus.FAILED
            if failed and new.idx < len(steps) and steps[new.idx].mail_on_error:
                owed[str(new.idx)] = "0"
    status = draft.run.status
    if was is RunStatus.RUNNING and status is not RunStatus.RUNNING:
        container = _own_container(dag) and any(one.number for one in draft.nodes[: len(steps)])
        if container or _mail_of(draft) is not None:
            owed[END] = "0"
    if owed != node.outputs:
        draft.set_node(node.idx, outputs=owed)
    if owed and node.attempt is None:
        _send(draft, node, owed)


def _send(draft: Draft, node: Node, owed: dict[str, str]) -> None:
    if node.status.terminal:
        draft.move(node.idx, NodeStatus.NOT_STARTED, "has another follow-up to run")
    # The first try goes to the worker of the run, which has the logs and the container.
    first = all(tries == "0" for tries in owed.values())
    owed = {what: str(int(tries) + 1) for what, tries in owed.items()}
    draft.set_node(node.idx, outputs=owed)
    worker_id = draft.run.worker_id if first and draft.run.plan.dag.placement == "stick" else None
    token = draft.open_attempt(node.idx, worker_id)
    content = _content(draft, owed)
    options = {FOLLOW_UP: content.model_dump(mode="json")}
    task = make_task(draft, node.idx, token, worker_id, str(draft.run.status))
    task = task.model_copy(update={"options": options, "timeout_s": _TIMEOUT_S})
    draft.effects.append(Dispatch(task, worker_id))


def finished(draft: Draft, node: Node, event: AttemptFinished) -> None:
    """Record the end of a follow-up's attempt. A follow-up that could not start is tried again."""
    if event.outcome in {"broken", "aborted"}:
        give_up(draft, node, event.error or event.outcome, event.worker_id)
        return
    owed = {what: tries for what, tries in node.outputs.items() if tries == "0"}
    status = NodeStatus.SUCCEEDED if event.outcome == "succeeded" else NodeStatus.FAILED
    draft.set_node(node.idx, outputs=owed, exit_code=event.exit_code)
    draft.move(node.idx, status, event.error or "done", event.worker_id, error=event.error, finished_at=draft.now)


def give_up(draft: Draft, node: Node, why: str, by: str = "scheduler") -> None:
    """Record a failed attempt. Follow-ups that were tried ``_TRIES`` times are given up; the others are tried again."""
    owed = {what: tries for what, tries in node.outputs.items() if int(tries) < _TRIES}
    draft.set_node(node.idx, outputs=owed, exit_code=1)
    draft.move(node.idx, NodeStatus.FAILED, why, by, error=why, finished_at=draft.now)


def _content(draft: Draft, owed: dict[str, str]) -> FollowUp:
    dag, run = draft.run.plan.dag, draft.run
    mails = []
    for what in sorted(owed):
        name = f"{run.run_key}.{run.run_attempt}.{what}"
        if what == END:
            settings = _mail_of(draft)
            if settings is not None:
                nodes = [one for one in draft.nodes if one.kind in (STEP, HANDLER)]
                reports = tuple(_report(one) for one in nodes[:_MOST_NODES])
                left_out = len(nodes) - len(reports)
                mails.append(Mail(id=name, settings=settings, status=str(run.status), nodes=reports, left_out=left_out))
        elif dag.error_mail is not None:
            node = draft.nodes[int(what)]
            mails.append(Mail(id=name, settings=dag.error_mail, status=str(node.status), nodes=(_report(node),)))
    container = dag.container if END in owed and _own_container(dag) and isinstance(dag.container, dict) else None
    return FollowUp(smtp=dag.smtp, mails=tuple(mails), container=container)


def _report(node: Node) -> NodeReport:
    return NodeReport(
        name=node.name,
        status=str(node.status),
        started_at=node.started_at,
        finished_at=node.finished_at,
        error=node.error[:_LONGEST_ERROR],
        stdout=node.stdout,
    )


def _mail_of(draft: Draft) -> MailSettings | None:
    """Return the settings of the mail for the run's current status, or ``None``."""
    dag, status = draft.run.plan.dag, draft.run.status
    if status is RunStatus.WAITING:
        return dag.wait_mail if dag.mail_on.wait else None
    if status is RunStatus.REJECTED:
        return None
    if status is RunStatus.FAILED or _error_recorded(draft):
        return dag.error_mail if dag.mail_on.failure else None
    return dag.info_mail if dag.mail_on.success and status.successful else None


def _error_recorded(draft: Draft) -> bool:
    """Whether a step or handler failed, even if the run continued. A failure with ``markSuccess`` does not count."""
    return any(node.status is NodeStatus.FAILED for node in draft.nodes if node.kind in (STEP, HANDLER))
