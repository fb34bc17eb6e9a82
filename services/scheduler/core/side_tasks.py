"""Errands: what a run sends a worker on beside its steps, mails and the removal of its container.

They are made by a node of their own, one attempt at a time, while the run goes on or after its end,
and change no other status. What is owed stands in that node's ``outputs``, ``{what: tries so far}``:
``end`` is the end of the run's attempt, a number the failure of that node. An errand whose worker is
lost is made again, so a mail may come twice, with the same Message-ID.
Source: workflow language, sections 5.2 and 5.16.
"""

from services.scheduler.core.decision import Dispatch
from services.scheduler.core.draft import Draft
from services.scheduler.core.model import Node, Run
from services.scheduler.core.plan import HANDLER, SIDE_TASK, STEP
from services.scheduler.core.tasks import make_task
from shared.contracts.errands import Mail, NodeReport, SideTask
from shared.contracts.events import AttemptFinished
from shared.language.model import Dag, MailSettings
from shared.status import NodeStatus, RunStatus

__all__ = ["finished", "follow", "give_up", "needed", "owes_end"]

END = "end"
_TRIES = 3
_TIMEOUT_S = 180
_MOST_NODES = 500
_LONGEST_ERROR = 1_000


def needed(dag: Dag) -> bool:
    """Whether runs of a dag may ever send a worker on an errand."""
    told = any(step.mail_on_error for step in (*dag.steps, *dag.handlers.values()))
    on = dag.mail_on
    return on.failure or on.success or on.wait or (told and dag.error_mail is not None) or _own_container(dag)


def _own_container(dag: Dag) -> bool:
    """Whether the run starts a container that nobody wants kept."""
    return isinstance(dag.container, dict) and "image" in dag.container and not dag.container.get("keepContainer")


def _errand(draft: Draft) -> Node | None:
    place = len(draft.run.plan.steps)
    node = draft.nodes[place] if place < len(draft.nodes) else None
    return node if node is not None and node.kind == SIDE_TASK else None


def owes_end(draft: Draft) -> bool:
    """Whether the end of an earlier attempt is still being told: the next one begins after that."""
    node = _errand(draft)
    return node is not None and END in node.outputs


def follow(draft: Draft, before: Run) -> None:
    """Note what ``draft`` owes that ``before`` did not, and send a worker if none is on its way."""
    node = _errand(draft)
    if node is None:
        return
    owed = dict(node.outputs)
    dag, steps = draft.run.plan.dag, draft.run.plan.steps
    if dag.error_mail is not None:
        for old, new in zip(before.nodes[: len(steps)], draft.nodes, strict=False):
            failed = new.status is NodeStatus.FAILED and old.status is not NodeStatus.FAILED
            if failed and steps[new.idx].mail_on_error:
                owed[str(new.idx)] = "0"
    status = draft.run.status
    if before.status is RunStatus.RUNNING and status is not RunStatus.RUNNING:
        container = _own_container(dag) and any(one.number for one in draft.nodes[: len(steps)])
        if container or _mail_of(draft) is not None:
            owed[END] = "0"
    if owed != node.outputs:
        draft.set_node(node.idx, outputs=owed)
    if owed and node.attempt is None:
        _send(draft, node, owed)


def _send(draft: Draft, node: Node, owed: dict[str, str]) -> None:
    if node.status.terminal:
        draft.move(node.idx, NodeStatus.NOT_STARTED, "another errand")
    # Where the logs and the container are, if that worker is still there.
    first = all(tries == "0" for tries in owed.values())
    owed = {what: str(int(tries) + 1) for what, tries in owed.items()}
    draft.set_node(node.idx, outputs=owed)
    dag = draft.run.plan.dag
    worker_id = draft.run.worker_id if first and dag.placement == "stick" else None
    token = draft.open_attempt(node.idx, worker_id)
    errand = _content(draft, owed)
    options = {"errand": errand.model_dump(mode="json")}
    task = make_task(draft.run, draft.nodes, node.idx, token, str(draft.run.status))
    task = task.model_copy(update={"options": options, "timeout_s": _TIMEOUT_S})
    draft.effects.append(Dispatch(task, worker_id, tuple(sorted(dag.worker_selector.items()))))


def finished(draft: Draft, node: Node, event: AttemptFinished) -> None:
    """A worker came back from an errand; one that it could not even begin is made again."""
    if event.outcome in {"broken", "aborted"}:
        give_up(draft, node, event.error or event.outcome, event.worker_id)
        return
    owed = {what: tries for what, tries in node.outputs.items() if tries == "0"}
    status = NodeStatus.SUCCEEDED if event.outcome == "succeeded" else NodeStatus.FAILED
    draft.set_node(node.idx, outputs=owed, exit_code=event.exit_code)
    draft.move(node.idx, status, event.error or "done", event.worker_id, error=event.error, finished_at=draft.now)


def give_up(draft: Draft, node: Node, why: str, by: str = "scheduler") -> None:
    """An errand came to nothing: what was tried often enough is given up, the rest is owed on."""
    owed = {what: tries for what, tries in node.outputs.items() if int(tries) < _TRIES}
    draft.set_node(node.idx, outputs=owed, exit_code=1)
    draft.move(node.idx, NodeStatus.FAILED, why, by, error=why, finished_at=draft.now)


def _content(draft: Draft, owed: dict[str, str]) -> SideTask:
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
    return SideTask(smtp=dag.smtp, mails=tuple(mails), container=container)


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
    """Return the mail that the run's present status calls for (section 5.16)."""
    dag, status = draft.run.plan.dag, draft.run.status
    if status is RunStatus.WAITING:
        return dag.wait_mail if dag.mail_on.wait else None
    if status is RunStatus.REJECTED:
        return None
    if status is RunStatus.FAILED or _error_recorded(draft):
        return dag.error_mail if dag.mail_on.failure else None
    return dag.info_mail if dag.mail_on.success and status.successful else None


def _error_recorded(draft: Draft) -> bool:
    """Whether anything failed, be it that the others went on: ``markSuccess`` alone makes a failure none."""
    return any(node.status is NodeStatus.FAILED for node in draft.nodes if node.kind in (STEP, HANDLER))
