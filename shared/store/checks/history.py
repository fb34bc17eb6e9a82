"""Checks of the history of runs: their transitions, and the state that these lead to."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import and_, func, or_, select

from shared.status import NodeStatus, RunStatus
from shared.status_changes import NODE_CHANGES, RUN_CHANGES
from shared.store import tables as t
from shared.store.checks.base import BY_HAND, Row, StoreSnapshot, Violation, check

__all__ = ["CHECKS"]

_FIRST = {str(NodeStatus.NOT_STARTED), str(RunStatus.QUEUED)}
"""The statuses in which nodes and runs begin."""
_BEGINNINGS = ("begins", "retry")
"""How the reasons begin for which a run begins or is retried."""
_TERMINAL = {str(status) for status in NodeStatus if status.terminal}
_STEP_RETRY = "retry of step "
"""It runs this step only, also if a stop came before the steps that it depends on."""
_HANDLED = {str(status): {str(one) for one in following} for status, following in NODE_CHANGES.items()}
_LEGAL = {str(status): {str(one) for one in following} for status, following in RUN_CHANGES.items()}
_ASK = "The run's history was changed outside Dagway, or this is a bug: report it with the rows of `transitions`."


@dataclass(frozen=True, slots=True)
class RunHistory:
    """A run that has transitions, and the transitions in their order."""

    run: Row
    changes: Sequence[Row]
    snapshot: StoreSnapshot


def _histories(snapshot: StoreSnapshot) -> Iterator[RunHistory]:
    r, c = t.dag_runs.c, t.transitions.c
    query = (
        select(c.run_key, c.seq, c.node, c.was, c.became, c.why)
        .add_columns(r.dag_name, r.dag_run_id, r.status, r.run_attempt, r.spec_hash, r.file_name)
        .join(t.dag_runs, r.run_key == c.run_key)
        .order_by(c.run_key, c.seq)
    )
    for _, group in groupby(snapshot.rows(query), key=lambda row: row["run_key"]):
        changes = list(group)
        yield RunHistory(changes[0], changes, snapshot)


def _name(run: Row) -> str:
    return f"run {run['dag_name']}/{run['dag_run_id']}"


def _ids(run: Row, **more: Any) -> dict[str, str]:
    return {"run_key": run["run_key"], **{name: str(value) for name, value in more.items() if value is not None}}


@check("history-gapless", "I7", "Rows of `transitions` are missing: restore them from a backup, or delete the run.")
def _gapless(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """The changes of each run are numbered from 1 without gaps, up to the run's `last_seq`."""
    r, c = t.dag_runs.c, t.transitions.c
    numbers = (
        select(c.run_key, func.count().label("count"), func.min(c.seq).label("first"), func.max(c.seq).label("last"))
        .group_by(c.run_key)
        .subquery()
    )
    found = numbers.c
    query = (
        select(r.run_key, r.dag_name, r.dag_run_id, r.last_seq, found.first, found.last, found.count)
        .select_from(t.dag_runs.outerjoin(numbers, found.run_key == r.run_key))
        .where(
            or_(
                func.coalesce(found.last, 0) != r.last_seq,
                func.coalesce(found.count, 0) != r.last_seq,
                func.coalesce(found.first, 1) != 1,
            )
        )
    )
    for row in snapshot.rows(query):
        yield Violation(
            f"{_name(row)} has {row['count'] or 0} changes, {row['first']} to {row['last']}; its last is number "
            f"{row['last_seq']}",
            _ids(row),
        )


@check("history-legal", "I5", _ASK, of=_histories)
def _legal(history: RunHistory) -> Iterator[Violation]:
    """Each change begins where the one before ended, and is one that docs/states.md allows."""
    run = history.run
    at: dict[int | None, str] = {}
    for change in history.changes:
        node, was, became = change["node"], change["was"], change["became"]
        before = at.get(node)
        if change["why"].startswith(BY_HAND):
            was = change["why"].removeprefix(BY_HAND)
        elif became != was and became not in (_LEGAL if node is None else _HANDLED).get(was, set()):
            yield Violation(
                f"{_name(run)}, change {change['seq']}: {was} cannot become {became}",
                _ids(run, node=node, seq=change["seq"]),
            )
        if before not in {None, was} or (before is None and was not in _FIRST):
            yield Violation(
                f"{_name(run)}, change {change['seq']}: left {was}, but was {before or 'in its first status'}",
                _ids(run, node=node, seq=change["seq"]),
            )
        at[node] = became


@check("history-state", "I4", "Somebody changed a status outside Dagway. Retry the run, or delete it.")
def _folds(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """The current status of each run and step is the last one in its history."""
    r, n, c = t.dag_runs.c, t.nodes.c, t.transitions.c
    last = select(c.run_key, c.node, func.max(c.seq).label("seq")).group_by(c.run_key, c.node).subquery()
    present = (
        select(c.run_key, c.node, c.became)
        .join(last, and_(last.c.run_key == c.run_key, last.c.seq == c.seq))
        .subquery()
    )
    p = present.c
    runs = (
        select(r.run_key, r.dag_name, r.dag_run_id, r.status, p.became)
        .select_from(t.dag_runs.outerjoin(present, and_(p.run_key == r.run_key, p.node.is_(None))))
        .where(or_(p.became != r.status, and_(p.became.is_(None), r.status.not_in(_FIRST))))
    )
    for row in snapshot.rows(runs):
        yield Violation(f"{_name(row)} is {row['status']}, its history ends with {row['became']}", _ids(row))
    nodes = (
        select(r.run_key, r.dag_name, r.dag_run_id, n.idx, n.name, n.status, p.became)
        .select_from(
            t.nodes.join(t.dag_runs, r.run_key == n.run_key).outerjoin(
                present, and_(p.run_key == n.run_key, p.node == n.idx)
            )
        )
        .where(func.coalesce(p.became, str(NodeStatus.NOT_STARTED)) != n.status)
    )
    for row in snapshot.rows(nodes):
        yield Violation(
            f"step {row['name']} of {_name(row)} is {row['status']}, its history ends with {row['became']}",
            _ids(row, node=row["idx"]),
        )


@check("run-one-end", "I5", _ASK, of=_histories)
def _one_end(history: RunHistory) -> Iterator[Violation]:
    """A run attempt ends once, and an ended run goes on only by a retry."""
    running = str(RunStatus.RUNNING)
    run = history.run
    ends = 0
    for change in history.changes:
        was, became = change["was"], change["became"]
        if change["node"] is not None or was == became:
            continue
        if _ended(was) and not change["why"].startswith("retry"):
            yield Violation(f"{_name(run)} left {was} without a retry: {change['why']}", _ids(run))
        # "waiting" ends a run attempt too: an approval begins the next one.
        ends += was == running
    # A run that is aborted while it is queued has not run in this attempt.
    unused = int(run["status"] == RunStatus.ABORTED)
    if _ended(run["status"]) and not run["run_attempt"] - unused <= ends <= run["run_attempt"]:
        yield Violation(f"{_name(run)} ended {ends} times in {run['run_attempt']} attempts", _ids(run))


def _ended(status: str) -> bool:
    try:
        return RunStatus(status).ended
    except ValueError:
        return False


@check("step-order", "I6", _ASK, of=_histories)
def _in_order(history: RunHistory) -> Iterator[Violation]:
    """A step starts only after all steps that it depends on have ended, unless somebody retries it alone."""
    run = history.run
    dag = history.snapshot.known_dag(run["spec_hash"], run["file_name"])
    # Nothing is known of a spec that this version cannot read.
    steps = dag.steps if dag is not None else ()
    ended: dict[int, bool] = defaultdict(bool)
    alone = False
    for change in history.changes:
        node, became = change["node"], change["became"]
        if node is None:
            if change["why"].startswith(_BEGINNINGS):
                alone = _STEP_RETRY in change["why"]
            continue
        if became == NodeStatus.RUNNING != change["was"] and node < len(steps) and not alone:
            early = sorted(before for before in steps[node].depends if not ended[before])
            if early:
                yield Violation(
                    f"{_name(run)}, change {change['seq']}: step {node} started before {early} had ended",
                    _ids(run, node=node, seq=change["seq"]),
                )
        ended[node] = became in _TERMINAL


CHECKS = (_gapless, _legal, _folds, _one_end, _in_order)
