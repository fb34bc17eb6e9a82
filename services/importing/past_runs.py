"""A run as another program recorded it, becomes the state of a run here. Pure.

The other program kept the last attempt of a run only as statuses and times. The history that leads there is written as
Dagway would have written it, so every check of ``dagway verify`` holds for imported runs too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from types import MappingProxyType

from services.importing.dagu_files import AttemptFile, DagFile, NodeFile
from services.scheduler.core.child_states import Child, Children
from services.scheduler.core.decision import ClosedAttempt, Transition
from services.scheduler.core.model import Approval, Node, Run, evolve
from services.scheduler.core.new_nodes import fresh_nodes
from services.scheduler.core.plan import HANDLER, PREPARE, STEP, Plan
from services.scheduler.deciding.creation import needs_prepare, new_run
from shared.contracts.events import Outcome
from shared.language.model import Dag
from shared.status import AttemptState, Begun, NodeStatus, RunStatus, StopReason

__all__ = ["BY", "NoSuchSteps", "PastRun", "children_of", "past_run"]

BY = "import"
"""Who made the changes in the history of an imported run."""

_WHY = "imported from Dagu"
_CUT_OFF = "the run had not ended when it was imported"
_EXIT_STATUS = re.compile(r"exit status (\d{1,9})\b")
_OUTCOMES: Mapping[NodeStatus, Outcome] = {
    NodeStatus.FAILED: "failed",
    NodeStatus.ABORTED: "aborted",
    NodeStatus.SKIPPED: "skipped",
}
_ENDED = frozenset(status for status in RunStatus if not status.active)
_UNASKED = frozenset({NodeStatus.WAITING, NodeStatus.REJECTED})


class NoSuchSteps(ValueError):
    """The run has other steps than its workflow."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run with all that is stored about it. ``transitions`` have their times; ``logs`` are by token."""

    run: Run
    transitions: tuple[tuple[Transition, datetime], ...]
    attempts: tuple[ClosedAttempt, ...]
    logs: Mapping[str, NodeFile]


@dataclass(frozen=True, slots=True)
class _Change:
    at: datetime
    rank: int
    node: int
    was: NodeStatus
    became: NodeStatus


def children_of(file: AttemptFile) -> Iterator[tuple[str, str]]:
    """Yield the name of the calling step and the run id of each sub-run of a run."""
    for node in (*file.nodes, *file.handlers.values()):
        for child in (*node.children, *node.children_repeated):
            yield node.step.name, child.dag_run_id


def past_run(
    file: AttemptFile, dag_file: DagFile, dag: Dag | None, *, run_key: str, file_name: str,
    tokens: Iterator[str], states: Mapping[str, RunStatus],
) -> PastRun:  # fmt: skip
    """Return the run of ``file``. ``dag`` is its workflow, or ``None`` if that cannot be loaded here.

    ``states``: the statuses of its sub-runs by run id. ``tokens``: new attempt tokens.

    Raises:
        NoSuchSteps: the run has other steps than ``dag``.
        InvalidInput: the run is queued, and its parameters cannot be read.
    """
    plan = Plan(dag if dag is not None else Dag(name=file.name), file_name)
    files = {node.step.name: node for node in file.nodes}
    handlers = file.handlers
    if file.status is RunStatus.QUEUED and dag is not None:
        return PastRun(_queued(file, plan, run_key), (), (), {})
    cut_off = file.status in (RunStatus.RUNNING, RunStatus.NOT_STARTED)
    status = RunStatus.FAILED if cut_off else file.status
    created = _created_at(file)
    started = file.started_at or (None if status is RunStatus.QUEUED else created)
    finished = None if started is None else max(file.finished_at or started, started)
    blank = _blank_nodes(files, handlers) if dag is None else _nodes_of(plan, files)
    nodes = []
    for node in blank:
        found = files.get(node.name) if node.kind == STEP else handlers.get(node.name) if node.kind == HANDLER else None
        nodes.append(node if found is None else _ended_node(node, found, status, states))
    _set_prepared(nodes, file, finished)
    pairs, env = _pairs(file.params_list), _pairs(dag_file.env)
    run = Run(
        run_key=run_key, plan=plan, dag_name=file.name, dag_run_id=file.dag_run_id, root_dag_name=file.name,
        root_dag_run_id=file.dag_run_id, status=status, created_at=min(created, started or created), nodes=tuple(nodes),
        queue=plan.dag.queue or file.name, given=file.params, params=pairs, params_json=dag_file.params_json or None,
        env=env, queued_at=file.queued_at or (created if status is RunStatus.QUEUED else None), started_at=started,
        finished_at=finished, error=file.error or (_CUT_OFF if cut_off else ""),
        stop_reason=StopReason.PRECONDITION if any(each.error for each in file.preconditions) else None,
    )  # fmt: skip
    if status is RunStatus.QUEUED:
        return PastRun(run, (), (), {})
    transitions = _transitions(run, never_ran=file.started_at is None and status is RunStatus.ABORTED)
    attempts: list[ClosedAttempt] = []
    logs: dict[str, NodeFile] = {}
    for place, node in enumerate(nodes):
        found = files.get(node.name) if node.kind == STEP else handlers.get(node.name)
        if node.number and found is not None:
            attempt = _attempt(node, next(tokens))
            attempts.append(attempt)
            logs[attempt.token] = found
            if node.children and node.status is NodeStatus.WAITING:
                # It goes on when its sub-runs are approved.
                nodes[place] = evolve(node, call_token=attempt.token)
    run = evolve(run, last_seq=len(transitions), version=1, nodes=tuple(nodes))
    return PastRun(run, transitions, tuple(attempts), MappingProxyType(logs))


def _created_at(file: AttemptFile) -> datetime:
    return datetime.fromtimestamp(file.created_at / 1000, UTC)


def _queued(file: AttemptFile, plan: Plan, run_key: str) -> Run:
    """Return a run that has not begun: here it is evaluated as any new run."""
    created = _created_at(file)
    run = new_run(
        plan,
        run_key=run_key,
        dag_name=file.name,
        dag_run_id=file.dag_run_id,
        given=file.params,
        queue=None,
        queued=True,
        now=file.queued_at or created,
    )
    return evolve(run, created_at=created)


def _nodes_of(plan: Plan, files: Mapping[str, NodeFile]) -> tuple[Node, ...]:
    names = {step.name for step in plan.dag.steps}
    if names != files.keys():
        odd = sorted(names ^ files.keys())
        raise NoSuchSteps(f"its steps are not those of its workflow: {', '.join(odd)}")
    return fresh_nodes(plan, prepare=needs_prepare(plan.dag, evaluated=True))


def _blank_nodes(files: Mapping[str, NodeFile], handlers: Mapping[str, NodeFile]) -> tuple[Node, ...]:
    kinds = [*((STEP, name) for name in files), *((HANDLER, name) for name in handlers)]
    return tuple(Node(idx, kind, name) for idx, (kind, name) in enumerate(kinds))


def _ended_node(node: Node, file: NodeFile, run: RunStatus, states: Mapping[str, RunStatus]) -> Node:
    status, error = file.status, file.error
    if run in _ENDED and not status.terminal and status is not NodeStatus.NOT_STARTED:
        status = NodeStatus.FAILED if run is RunStatus.FAILED else NodeStatus.ABORTED
        error = error or _CUT_OFF
    if status is NodeStatus.NOT_STARTED:
        return node
    exit_code = _EXIT_STATUS.search(error)
    called = file.step.child_dag.name if file.step.child_dag else ""
    started = file.started_at
    return evolve(
        node,
        status=status,
        number=int(started is not None),
        retry_count=file.retry_count,
        done_count=file.done_count,
        exit_code=int(exit_code[1]) if exit_code else 0 if status is NodeStatus.SUCCEEDED else None,
        error=error,
        outputs=MappingProxyType(file.outputs),
        unmet=_unmet(file.step.preconditions),
        children=Children(
            Child(child.dag_run_id, called, child.params, child.params, str(states.get(child.dag_run_id, "failed")))
            for child in file.children
        ),
        approval=_approval(file),
        started_at=started,
        finished_at=None if status is NodeStatus.WAITING else file.finished_at or started,
    )


def _unmet(conditions: Sequence[object]) -> tuple[str, ...]:
    errors = tuple(str(getattr(each, "error", "")) for each in conditions)
    return errors if any(errors) else ()


def _approval(file: NodeFile) -> Approval | None:
    if file.approved_at is not None:
        return Approval(granted=True, at=file.approved_at, by=file.approved_by, inputs=dict(file.approval_inputs))
    if file.rejected_at is not None:
        return Approval(granted=False, at=file.rejected_at, by=file.rejected_by, reason=file.rejection_reason)
    return None


def _set_prepared(nodes: list[Node], file: AttemptFile, finished: datetime | None) -> None:
    """Set the node that evaluates the preconditions of a run that was begun."""
    if file.started_at is None or not nodes or nodes[-1].kind != PREPARE:
        return
    unmet = _unmet(file.preconditions)
    nodes[-1] = evolve(
        nodes[-1],
        status=NodeStatus.SKIPPED if unmet else NodeStatus.SUCCEEDED,
        unmet=unmet,
        error=next(filter(None, unmet), ""),
        started_at=file.started_at,
        finished_at=finished if unmet else file.started_at,
    )


def _pairs(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return ``NAME=value`` texts as pairs. A value without a name gets its place as the name."""
    pairs = []
    for place, text in enumerate(texts, 1):
        name, equals, value = text.partition("=")
        pairs.append((name, value) if equals else (str(place), text))
    return tuple(pairs)


def _transitions(run: Run, *, never_ran: bool) -> tuple[tuple[Transition, datetime], ...]:
    """Return a history that leads to the state of ``run``: it is in the order of time and of the dependencies."""
    began, ended = run.started_at or run.created_at, run.finished_at or run.created_at
    found: list[tuple[int | None, str, str, datetime]] = []
    if not never_ran:
        found.append((None, RunStatus.NOT_STARTED, RunStatus.RUNNING, began))
    changes = sorted(_changes(run), key=lambda change: (change.at, change.rank))
    found += [(change.node, change.was, change.became, change.at) for change in changes]
    last = (None, RunStatus.QUEUED if never_ran else RunStatus.RUNNING, run.status, ended)
    return tuple(
        (Transition(seq, node, str(was), str(became), _WHY, BY), at)
        for seq, (node, was, became, at) in enumerate([*found, last], 1)
    )


def _changes(run: Run) -> Iterator[_Change]:
    ends: dict[int, datetime] = {}
    began = run.started_at or run.created_at
    for rank, idx in enumerate(_in_order(run)):
        node = run.nodes[idx]
        if node.status is NodeStatus.NOT_STARTED:
            continue
        before = run.plan.depends[idx] if idx < len(run.plan.depends) else ()
        start = max([node.started_at or began, *(ends[each] for each in before if each in ends)])
        end = ends[idx] = max(start, node.finished_at or start)
        steps = [NodeStatus.NOT_STARTED, NodeStatus.RUNNING, node.status]
        if node.started_at is None and node.status not in _UNASKED:
            steps.remove(NodeStatus.RUNNING)
        if node.status is NodeStatus.REJECTED:
            steps.insert(-1, NodeStatus.WAITING)
        for place, (was, became) in enumerate(pairwise(steps)):
            yield _Change(end if place else start, rank, idx, was, became)


def _in_order(run: Run) -> list[int]:
    """Return the indices of the nodes: that of preconditions, steps after those they depend on, handlers."""
    depends = run.plan.depends
    found: dict[int, None] = {node.idx: None for node in run.nodes if node.kind == PREPARE}
    todo = [node.idx for node in run.nodes if node.idx not in found]
    while todo:
        ready = [idx for idx in todo if idx >= len(depends) or all(each in found for each in depends[idx])]
        # A cycle is an error of the workflow, whose ``depends`` is not used then; but this must end for any input.
        found |= dict.fromkeys(ready or todo)
        todo = [idx for idx in todo if idx not in found]
    return list(found)


def _attempt(node: Node, token: str) -> ClosedAttempt:
    started = node.started_at
    assert started is not None  # noqa: S101 - only nodes that were started have a number
    return ClosedAttempt(
        token=token, node=node.idx, run_attempt=1, number=1, state=AttemptState.FINISHED,
        outcome=_OUTCOMES.get(node.status, "succeeded"), worker_id=None, incarnation=None, exit_code=node.exit_code,
        error=node.error, dispatched_at=started, started_at=started, begun=Begun.YES, log_bytes=None,
    )  # fmt: skip
