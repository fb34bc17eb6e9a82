"""Parents and children: starts and stops sub-runs, and reports the statuses of sub-runs to their parents.

Locks are taken only from parent to child. So a transaction that changes a child never changes its parent: when the
child has ended, another transaction updates the parent; see ``loops.parent_notifications``.
"""

from collections.abc import Iterable
from typing import Any

from services.scheduler.core.children import held_up
from services.scheduler.core.decision import StartChild, StopChild
from services.scheduler.core.messages import Begin, ChildRefused, ChildrenSeen, Dequeue, Retry, Stop
from services.scheduler.core.model import ASKED, HELD, PENDING, Node, Run, evolve
from services.scheduler.core.plan import Plan
from services.scheduler.core.run_attempts import complete
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.called import find_called
from services.scheduler.deciding.creation import new_run
from services.scheduler.deciding.plans import spec_hash
from shared.admission.runs import HIGH, LOW
from shared.errors import InvalidInput, NotFound
from shared.language.expansion.params_syntax import params_text
from shared.language.expansion.secret_params import show_params
from shared.language.load import load
from shared.language.snapshot import local_spec, make_snapshot
from shared.language.steps.approval import waits_for_approval
from shared.status import RunStatus
from shared.tracing import SpanContext, within
from shared.workspaces import stored_name, workspace_of

__all__ = ["MAX_DEPTH", "start_and_stop_children", "update_parents"]

MAX_DEPTH = 32
"""The most runs from a root run down to a sub-run, so that DAGs that call themselves end."""


def start_and_stop_children(batch: Batch) -> None:
    """Start and stop the sub-runs that the runs of ``batch`` decided on, at all depths."""
    while wanted := batch.take_for_children():
        batch.runs.lock_cached()
        for parent_key, effect in wanted:
            match effect:
                case StartChild():
                    _start(batch, parent_key, effect)
                case StopChild():
                    _stop(batch, parent_key, effect)


def _start(batch: Batch, parent_key: str, effect: StartChild) -> None:
    """Begin or queue a new child. If the child exists, retry it, unless no step of it would run again."""
    key = batch.tx.children.key(batch.runs.root_of(parent_key), effect.run_id)
    if key is not None:
        batch.runs.load([key])
        child = batch.runs.get(key)
        # If an operator set a step of an ended child to failed, that step runs again.
        if child is not None and not child.status.active and not (child.status.successful and complete(child)):
            batch.apply(key, Retry("scheduler", queued=_is_limited(batch, child.queue)))
        batch.after.families.add(parent_key)
        return
    try:
        run, text_hash, file_name = _new_child(batch, parent_key, effect)
    except (InvalidInput, NotFound) as error:
        batch.apply(parent_key, ChildRefused(effect.node, effect.run_id, str(error)))
        batch.after.families.add(parent_key)
        return
    parent = batch.runs.get(parent_key)
    priority = HIGH if parent is not None and parent.priority == HIGH else LOW
    with within(_calling_attempt(batch, parent_key, effect.node)):
        batch.add(
            run,
            spec_hash=text_hash,
            file_name=file_name,
            parent_key=parent_key,
            called_by=(effect.node, _params(parent, effect)),
            priority=priority,
            by=f"{parent.dag_name}/{parent.dag_run_id}" if parent else "",
        )
    if run.status is not RunStatus.QUEUED:
        batch.apply(run.run_key, Begin("scheduler"))


def _params(parent: Run | None, effect: StartChild) -> str | None:
    children = parent.nodes[effect.node].children if parent else ()
    return next((child.params for child in children if child.run_id == effect.run_id), None)


def _is_limited(batch: Batch, queue: str) -> bool:
    """Return whether the queue is global: only then do sub-runs wait in it."""
    return queue in batch.tx.queues.global_queues([queue])


def _waits(batch: Batch, plan: Plan, workspace: str) -> bool:
    """Return whether a sub-run waits in its queue: for a place, or for a worker pool that serves its workspace."""
    name = stored_name(workspace, plan.dag.name)
    barred = batch.worker_pools.bars(name, plan.dag.worker_selector)
    return barred is not None or _is_limited(batch, stored_name(workspace, plan.dag.queue or plan.dag.name))


def _calling_attempt(batch: Batch, parent_key: str, node: int) -> SpanContext:
    """Return the span context of the calling attempt, the parent of the child's spans."""
    parent = batch.runs.get(parent_key)
    assert parent is not None  # noqa: S101 - its decision asked for the child
    return batch.runs.asked_in(parent_key).of_run(parent_key, parent.run_attempt).child(parent.nodes[node].call_token)


def _new_child(batch: Batch, parent_key: str, effect: StartChild) -> tuple[Run, str, str | None]:
    """Return the new child, its spec hash and its file name (``None`` if its spec is local to the caller's file)."""
    parent = batch.runs.get(parent_key)
    assert parent is not None  # noqa: S101 - its decision asked for the child
    if batch.tx.children.depth(parent_key) >= MAX_DEPTH:
        raise InvalidInput(f"sub DAGs are nested deeper than {MAX_DEPTH} levels")
    parent_hash, caller = batch.runs.origin(parent_key)
    workspace = workspace_of(parent.dag_name)
    name = effect.dag
    text = local_spec(batch.tx.dags.spec_texts([parent_hash])[parent_hash], name)
    file_name = None
    if text is None:
        called_hash, file_name = find_called(batch, name, caller or "", workspace)
        text = batch.tx.dags.spec_texts([called_hash])[called_hash]
    if effect.selector and (called := load(text).dag) is not None and waits_for_approval(called):
        raise InvalidInput(f"{name}: DAG with HITL steps cannot be dispatched to workers")
    # Children inherit the base configuration too, except its handlers.
    text = make_snapshot(text, batch.plans.base, handlers=False, selector=dict(effect.selector))
    text_hash = spec_hash(text)
    batch.tx.dags.add_specs({text_hash: text}, batch.now)
    plan = batch.plans.add_stored(text, file_name or "")
    if plan.errors:
        raise InvalidInput(f"DAG {name} is invalid: {'; '.join(plan.errors)}")
    run = new_run(
        plan,
        run_key=batch.new_run_key(),
        dag_name=stored_name(workspace, plan.dag.name),
        dag_run_id=effect.run_id,
        given=effect.given,
        queue=None,
        queued=_waits(batch, plan, workspace),
        now=batch.now,
    )
    run = evolve(
        run,
        root_dag_name=parent.root_dag_name,
        root_dag_run_id=parent.root_dag_run_id,
        called_from=effect.folder,
        asked_as=_params(parent, effect) or "",
    )
    return run, text_hash, file_name


def _stop(batch: Batch, parent_key: str, effect: StopChild) -> None:
    """Stop or dequeue a child. A stopped child stops its own children."""
    key = batch.tx.children.key(batch.runs.root_of(parent_key), effect.run_id)
    if key is None:
        return
    batch.runs.load([key])
    child = batch.runs.get(key)
    if child is not None and child.status is RunStatus.QUEUED:
        batch.apply(key, Dequeue("scheduler"))
    elif child is not None and child.status.active:
        batch.apply(key, Stop("scheduler"))
    batch.after.families.add(parent_key)


def update_parents(batch: Batch, parent_keys: Iterable[str]) -> None:
    """Report changed statuses of children to these parent runs."""
    keys = sorted(parent_keys)
    batch.runs.load(keys)
    for key in keys:
        run = batch.runs.get(key)
        for node in () if run is None else run.nodes:
            if node.calls and (message := _changed_children(batch, key, node)) is not None:
                batch.apply(key, message)


def _changed_children(batch: Batch, parent_key: str, node: Node) -> ChildrenSeen | None:
    rows = batch.tx.children.statuses(batch.runs.root_of(parent_key), [child.run_id for child in node.children])
    known = {child.run_id: child.state for child in node.children}
    states = known | {row["dag_run_id"]: _state(RunStatus(row["status"])) for row in rows}
    news = {run_id: state for run_id, state in states.items() if state != known[run_id]}
    run = batch.runs.get(parent_key)
    stopping = bool(node.error) or (run is not None and bool(run.stop_reason))
    now = set(states.values())
    if ASKED in now or (PENDING in now and not stopping) or (not news and held_up(node)):
        return ChildrenSeen(node.idx, news) if news else None
    found: dict[str, dict[str, Any]] = {row["dag_run_id"]: {} for row in rows}
    ids = {row["run_key"]: row["dag_run_id"] for row in rows}
    for row in batch.tx.children.outputs_of(sorted(ids)):
        found[ids[row["run_key"]]].update(row["outputs"])
    asked = {child.run_id: child.params for child in node.children}
    params = {
        ids[key]: params_text(show_params(pairs, asked[ids[key]]))
        for key, pairs in batch.tx.children.params_of(sorted(ids))
    }
    return ChildrenSeen(node.idx, news, found, params, {row["dag_run_id"]: row["dag_name"] for row in rows})


def _state(status: RunStatus) -> str:
    """Convert the status of a sub-run to ``Child.state``."""
    over = not status.active and status is not RunStatus.NOT_STARTED
    return str(status) if over else HELD if status is RunStatus.WAITING else ASKED
