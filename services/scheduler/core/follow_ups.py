"""Follow-ups: a worker sends the mails of a run and removes its container.

One node of the run (kind ``FOLLOW_UP``) runs them, one attempt at a time, during the run or after its end. It never
changes the status of the run or of another node. Its ``outputs`` list the pending follow-ups as ``{cause: tries so
far}``. The cause is ``end`` (the run attempt ended) or the index of a node that failed. If the worker is lost, the
follow-up runs again, so a mail may be sent twice, with the same Message-ID. If the run goes on before its mail is
sent, by a retry for example, ``outputs`` keep the mail too, because the run no longer shows what it tells.
Source: docs/executors.md#mails-of-a-run.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain, count

from services.scheduler.core.decision import Dispatch
from services.scheduler.core.draft import Draft
from services.scheduler.core.model import Node, Run
from services.scheduler.core.plan import FOLLOW_UP, HANDLER, STEP
from services.scheduler.core.tasks import make_task
from shared.contracts.events import AttemptFinished
from shared.contracts.follow_ups import FollowUp, Mail, NodeReport
from shared.language.model import Dag, MailSettings
from shared.status import NodeStatus, RunStatus

__all__ = ["add_needed", "finished", "free_name", "give_up", "needed", "owes_end"]

END = "end"
_MAIL = "mail "
"""Begins the key of a mail that is kept; the cause follows."""
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


def add_needed(draft: Draft, before: Run, changes: Iterable[tuple[Node, Node]]) -> None:
    """Add the follow-ups that a decision requires; dispatch them if none is running.

    ``before``: the run before the decision. ``changes``: changed nodes before and after it.
    """
    node = _node(draft)
    if node is None:
        return
    owed, mails = _owed(node), _kept(node)
    dag, steps = draft.run.plan.dag, draft.run.plan.steps
    was, status = before.status, draft.run.status
    if owed and was is not RunStatus.RUNNING and status is not was:
        mails = _mails(before, before.nodes, owed) | mails
    if was is RunStatus.RUNNING and END in before.nodes[node.idx].outputs and END not in owed:
        # Only now does the run attempt begin that waited for this. Its time limit counts from its start.
        draft.set_run(started_at=draft.now)
    new: list[str] = []
    if dag.error_mail is not None:
        for old, one in changes:
            failed = one.status is NodeStatus.FAILED and old.status is not NodeStatus.FAILED
            if failed and one.idx < len(steps) and steps[one.idx].mail_on_error:
                new.append(str(one.idx))
    if was is RunStatus.RUNNING and status is not RunStatus.RUNNING:
        container = _own_container(dag) and any(one.number for one in draft.nodes[: len(steps)])
        if container or _mail_of(draft.run, draft.nodes) is not None:
            new.append(END)
    owed |= dict.fromkeys(new, "0")
    _keep(draft, node, owed, {cause: mail for cause, mail in mails.items() if cause not in new})
    if owed and node.attempt is None:
        _send(draft, draft.nodes[node.idx], owed)


def _owed(node: Node) -> dict[str, str]:
    return {cause: tries for cause, tries in node.outputs.items() if not cause.startswith(_MAIL)}


def _kept(node: Node) -> dict[str, Mail]:
    return {
        key.removeprefix(_MAIL): Mail.model_validate_json(mail)
        for key, mail in node.outputs.items()
        if key.startswith(_MAIL)
    }


def _keep(draft: Draft, node: Node, owed: dict[str, str], mails: Mapping[str, Mail]) -> None:
    """Note what is ``owed``, and those ``mails`` that are."""
    kept = {f"{_MAIL}{cause}": mail.model_dump_json() for cause, mail in mails.items() if cause in owed}
    if owed | kept != node.outputs:
        draft.set_node(node.idx, outputs=owed | kept)


def _send(draft: Draft, node: Node, owed: dict[str, str]) -> None:
    if node.status.terminal:
        draft.move(node.idx, NodeStatus.NOT_STARTED, "has another follow-up to run")
    # The first try goes to the worker of the run, which has the logs and the container.
    first = all(tries == "0" for tries in owed.values())
    owed = {cause: str(int(tries) + 1) for cause, tries in owed.items()}
    _keep(draft, node, owed, _kept(node))
    worker_id = draft.run.worker_id if first else None
    token = draft.open_attempt(node.idx, worker_id)
    content = _content(draft, owed, _kept(node))
    options = {FOLLOW_UP: content.model_dump(mode="json")}
    task = make_task(draft, node.idx, token, worker_id, str(draft.run.status))
    task = task.model_copy(update={"options": options, "timeout_s": _TIMEOUT_S})
    draft.effects.append(Dispatch(task, worker_id))


def finished(draft: Draft, node: Node, event: AttemptFinished) -> None:
    """Record the end of a follow-up's attempt. A follow-up that could not start is tried again."""
    if event.outcome in {"broken", "aborted"}:
        give_up(draft, node, event.error or event.outcome, event.worker_id)
        return
    owed = {cause: tries for cause, tries in _owed(node).items() if tries == "0"}
    status = NodeStatus.SUCCEEDED if event.outcome == "succeeded" else NodeStatus.FAILED
    _keep(draft, node, owed, _kept(node))
    draft.set_node(node.idx, exit_code=event.exit_code)
    draft.move(node.idx, status, event.error or "done", event.worker_id, error=event.error, finished_at=draft.now)


def give_up(draft: Draft, node: Node, why: str, by: str = "scheduler") -> None:
    """Record a failed attempt. Follow-ups that were tried ``_TRIES`` times are given up; the others are tried again."""
    owed = {cause: tries for cause, tries in _owed(node).items() if int(tries) < _TRIES}
    _keep(draft, node, owed, _kept(node))
    draft.set_node(node.idx, exit_code=1)
    draft.move(node.idx, NodeStatus.FAILED, why, by, error=why, finished_at=draft.now)


def _content(draft: Draft, owed: Mapping[str, str], kept: dict[str, Mail]) -> FollowUp:
    dag = draft.run.plan.dag
    mails = _mails(draft.run, draft.nodes, owed.keys() - kept.keys()) | kept
    container = dag.container if END in owed and _own_container(dag) and isinstance(dag.container, dict) else None
    return FollowUp(smtp=dag.smtp, mails=tuple(mails[cause] for cause in sorted(mails)), container=container)


def _mails(run: Run, nodes: Sequence[Node], causes: Iterable[str]) -> dict[str, Mail]:
    """Return the mails that these causes need, each with what ``run`` and its ``nodes`` show now."""
    dag = run.plan.dag
    found = {}
    for cause in causes:
        name = f"{run.run_key}.{run.run_attempt}.{cause}"
        if cause == END:
            settings = _mail_of(run, nodes)
            if settings is not None:
                told = [one for one in nodes if one.kind in (STEP, HANDLER)]
                reports = tuple(_report(one) for one in told[:_MOST_NODES])
                left_out = len(told) - len(reports)
                found[END] = Mail(id=name, settings=settings, status=str(run.status), nodes=reports, left_out=left_out)
        elif dag.error_mail is not None:
            node = nodes[int(cause)]
            found[cause] = Mail(id=name, settings=dag.error_mail, status=str(node.status), nodes=(_report(node),))
    return found


def _report(node: Node) -> NodeReport:
    return NodeReport(
        name=node.name,
        status=str(node.status),
        started_at=node.started_at,
        finished_at=node.finished_at,
        error=node.error[:_LONGEST_ERROR],
        stdout=node.stdout,
    )


def _mail_of(run: Run, nodes: Sequence[Node]) -> MailSettings | None:
    """Return the settings of the mail for the run's current status, or ``None``."""
    dag, status = run.plan.dag, run.status
    if status is RunStatus.WAITING:
        return dag.wait_mail if dag.mail_on.wait else None
    if status is RunStatus.REJECTED:
        return None
    if status is RunStatus.FAILED or _error_recorded(nodes):
        return dag.error_mail if dag.mail_on.failure else None
    return dag.info_mail if dag.mail_on.success and status.successful else None


def _error_recorded(nodes: Sequence[Node]) -> bool:
    """Whether a step or handler failed, even if the run continued. A failure with ``markSuccess`` does not count."""
    return any(node.status is NodeStatus.FAILED for node in nodes if node.kind in (STEP, HANDLER))
