"""Parents and children: starts and stops sub-runs, and reports the statuses of sub-runs to their parents.

Locks are taken only from parent to child. So a transaction that changes a child never changes its parent: when the
child has ended, another transaction updates the parent; see ``loops.parent_notifications``.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.scheduler.core.child_states import PENDING, UNDER_WAY, WAITING
from services.scheduler.core.children import is_stopping, only_approvals_left
from services.scheduler.core.decision import StartChild, StopChild
from services.scheduler.core.messages import Begin, ChildRefused, ChildrenSeen, Dequeue, Retry, Stop
from services.scheduler.core.model import Node, Run
from services.scheduler.core.run_attempts import complete
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.sub_runs.new_children import NewChildren
from shared.errors import InvalidInput
from shared.language.expansion.params_syntax import params_text
from shared.language.expansion.secret_params import show_params
from shared.status import RunStatus
from shared.tracing import within

__all__ = ["start_and_stop_children", "update_parents"]


def start_and_stop_children(batch: Batch) -> None:
    """Start and stop the sub-runs that the runs of ``batch`` decided on, at all depths."""
    new = NewChildren(batch)
    while wanted := batch.take_for_children():
        batch.runs.lock_cached()
        keys = _load_existing(batch, wanted)
        for parent_key, effect in wanted:
            key = keys.get((batch.runs.root_of(parent_key), effect.run_id))
            if key is not None:
                batch.after.note_child(parent_key, effect.run_id)
                if isinstance(effect, StartChild):
                    _retry(batch, new, key)
                else:
                    _stop(batch, key)
            elif isinstance(effect, StartChild):
                _begin(batch, new, parent_key, effect)


def _load_existing(batch: Batch, wanted: Iterable[tuple[str, StartChild | StopChild]]) -> dict[tuple[str, str], str]:
    """Load those of the sub-runs that exist; return their keys by root run and id."""
    asked: dict[str, list[str]] = {}
    for parent_key, effect in wanted:
        asked.setdefault(batch.runs.root_of(parent_key), []).append(effect.run_id)
    keys = {
        (root, run_id): key for root, ids in asked.items() for run_id, key in batch.tx.children.keys(root, ids).items()
    }
    batch.runs.load(keys.values())
    return keys


def _retry(batch: Batch, new: NewChildren, key: str) -> None:
    """Retry an ended sub-run, unless no step of it would run again."""
    child = batch.runs.get(key)
    # If an operator set a step of an ended child to failed, that step runs again.
    if child is not None and not child.status.active and not (child.status.successful and complete(child)):
        batch.apply(key, Retry("scheduler", queued=new.waits(child.plan, child.dag_name)))


def _begin(batch: Batch, new: NewChildren, parent_key: str, effect: StartChild) -> None:
    """Begin or queue a new sub-run."""
    try:
        made = new.make(parent_key, effect)
    except InvalidInput as error:
        batch.apply(parent_key, ChildRefused(effect.node, effect.run_id, str(error)))
        batch.after.note_child(parent_key, effect.run_id)
        return
    parent = batch.runs.entry(parent_key).run
    # The calling attempt is the parent of the child's spans.
    calling = batch.runs.asked_in(parent_key).of_run(parent_key, parent.run_attempt)
    with within(calling.child(parent.nodes[effect.node].call_token)):
        batch.add(
            made.run,
            spec_hash=made.spec_hash,
            file_name=made.file_name,
            parent_key=parent_key,
            parent_node=effect.node,
            parent_params=made.params,
            by=f"{parent.dag_name}/{parent.dag_run_id}",
            urgent=made.urgent,
        )
    if made.run.status is not RunStatus.QUEUED:
        batch.apply(made.run.run_key, Begin("scheduler"))


def _stop(batch: Batch, key: str) -> None:
    """Stop or dequeue a sub-run. A stopped one stops its own sub-runs."""
    child = batch.runs.get(key)
    if child is not None and child.status is RunStatus.QUEUED:
        batch.apply(key, Dequeue("scheduler"))
    elif child is not None and child.status.active:
        batch.apply(key, Stop("scheduler"))


def update_parents(batch: Batch, families: Mapping[str, Collection[str] | None]) -> None:
    """Report changed statuses of sub-runs to parent runs.

    ``families``: for the key of each parent run, the ids of the sub-runs that changed, or ``None``: any of them. Only
    of a node whose sub-runs may all have ended, all are read: a fan-out of thousands costs as much for each as a small
    one.
    """
    keys = sorted(families)
    batch.runs.load(keys)
    runs = [run for key in keys if (run := batch.runs.get(key)) is not None]
    callers = {(run.run_key, node.idx): node for run in runs for node in run.nodes if node.calls}
    asked = {caller: _may_have_changed(node, families[caller[0]]) for caller, node in callers.items()}
    found = _read_children(batch, asked)
    over = {
        caller: node
        for caller, node in callers.items()
        if _is_over(batch.runs.entry(caller[0]).run, node, found[caller])
    }
    unread = {caller: node for caller, node in over.items() if len(asked[caller]) < len(node.children)}
    found |= _read_children(batch, {caller: [each.run_id for each in node.children] for caller, node in unread.items()})
    _read_results(batch, [found[caller] for caller in over])
    for caller, node in callers.items():
        key, children = caller[0], found[caller]
        message = _concluded(batch.runs.entry(key).run, node, children) if caller in over else _changed(node, children)
        if message is not None:
            batch.apply(key, message)


@dataclass(slots=True)
class _Child:
    """A sub-run that exists. ``outputs`` and ``params`` are read only if no sub-run of its node is under way."""

    key: str
    dag_name: str
    state: str
    outputs: dict[str, Any] = field(default_factory=dict)
    params: tuple[tuple[str, str], ...] = ()


_Caller = tuple[str, int]
"""The key of a run, and the index of a node of it that calls sub-runs."""


def _may_have_changed(node: Node, changed: Collection[str] | None) -> list[str]:
    """Return the ids of those of the changed sub-runs that have not ended, as far as the node knows."""
    if changed is None:
        return [child.run_id for child in node.children.having(UNDER_WAY, WAITING)]
    return [run_id for run_id in sorted(changed) if _known(node, run_id) in {UNDER_WAY, WAITING}]


def _known(node: Node, run_id: str) -> str:
    child = node.children.get(run_id)
    return "" if child is None else child.state


def _read_children(batch: Batch, asked: Mapping[_Caller, Collection[str]]) -> dict[_Caller, dict[str, _Child]]:
    """Return those sub-runs of nodes that exist, by id, of those with the given ids."""
    ids_of: dict[str, list[str]] = {}
    for (key, _), ids in asked.items():
        ids_of.setdefault(batch.runs.root_of(key), []).extend(ids)
    known = {
        (root, row["dag_run_id"]): _Child(row["run_key"], row["dag_name"], _state(RunStatus(row["status"])))
        for root, ids in ids_of.items()
        for row in batch.tx.children.statuses(root, ids)
    }
    found: dict[_Caller, dict[str, _Child]] = {}
    for caller, ids in asked.items():
        root = batch.runs.root_of(caller[0])
        found[caller] = {run_id: known[root, run_id] for run_id in ids if (root, run_id) in known}
    return found


def _is_over(run: Run, node: Node, found: Mapping[str, _Child]) -> bool:
    """Return whether no sub-run of the node is under way or will be started, as far as the node knows."""
    if node.children.has(PENDING) and not is_stopping(run, node):
        return False
    was = sum(_known(node, run_id) == UNDER_WAY for run_id in found)
    return node.children.number_of(UNDER_WAY) - was + sum(child.state == UNDER_WAY for child in found.values()) == 0


def _read_results(batch: Batch, over: Iterable[Mapping[str, _Child]]) -> None:
    """Read the outputs and params of these sub-runs of nodes, unless one of the same node is under way after all."""
    ended = {
        child.key: child
        for found in over
        if all(child.state != UNDER_WAY for child in found.values())
        for child in found.values()
    }
    for row in batch.tx.children.outputs_of(sorted(ended)):
        ended[row["run_key"]].outputs.update(row["outputs"])
    for key, params in batch.tx.children.params_of(sorted(ended)):
        ended[key].params = params


def _changed(node: Node, found: Mapping[str, _Child]) -> ChildrenSeen | None:
    news = {run_id: child.state for run_id, child in found.items() if child.state != _known(node, run_id)}
    return ChildrenSeen(node.idx, news) if news else None


def _concluded(run: Run, node: Node, found: Mapping[str, _Child]) -> ChildrenSeen | None:
    """Return the states and results of all sub-runs; without results if one was started again meanwhile."""
    seen = _changed(node, found)
    news = seen.states if seen else {}
    now = {news.get(child.run_id, child.state) for child in node.children}
    if UNDER_WAY in now or (PENDING in now and not is_stopping(run, node)) or (not news and only_approvals_left(node)):
        return seen
    asked = {child.run_id: child.params for child in node.children}
    return ChildrenSeen(
        node.idx,
        news,
        {run_id: child.outputs for run_id, child in found.items()},
        {run_id: params_text(show_params(child.params, asked[run_id])) for run_id, child in found.items()},
        {run_id: child.dag_name for run_id, child in found.items()},
    )


def _state(status: RunStatus) -> str:
    """Convert the status of a sub-run to ``Child.state``."""
    return str(status) if status.ended else WAITING if status is RunStatus.WAITING else UNDER_WAY
