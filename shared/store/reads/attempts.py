"""Reads of attempts: all that a run's steps and handlers had, closed and open, of every attempt of the run."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, select, tuple_, union_all

from shared.status import AttemptState
from shared.store import tables as t
from shared.store.reads.base import AnyRow, Reader

__all__ = ["AttemptPlace", "AttemptReads", "AttemptRow"]

_a = t.attempts.c
_n = t.nodes.c
_r = t.dag_runs.c
_e = t.executions.c
_SHOWN = _n.kind.in_(("step", "handler"))


class AttemptPlace(NamedTuple):
    """The place of an attempt among those of its node, from the oldest to the newest."""

    run_attempt: int
    number: int
    dispatched_at: datetime


class AttemptRow(NamedTuple):
    """One attempt of a step or handler.

    ``run_attempt`` and ``number`` name it within its node: every attempt of the run counts ``number`` from 1. A
    withdrawn attempt never began and may have the number of the next one. ``error`` says why it ended. ``finished_at``
    is ``None`` while the attempt is open. ``started_at`` is ``None`` if no worker is known to have begun it. ``tries``:
    how many attempts of its node count, up to this one.
    """

    node: int
    node_name: str
    run_attempt: int
    number: int
    state: AttemptState
    outcome: str | None
    worker_id: str | None
    exit_code: int | None
    error: str
    dispatched_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tries: int

    @property
    def counts(self) -> bool:
        """Whether it is a try of its step: all but withdrawn attempts."""
        return self.state is not AttemptState.WITHDRAWN

    @property
    def place(self) -> AttemptPlace:
        return AttemptPlace(self.run_attempt, self.number, self.dispatched_at)


class AttemptReads(Reader):
    """Reads of attempts."""

    def attempts(
        self, run_key: str, node: int | None = None, *, before: AttemptPlace | None = None, limit: int | None = None
    ) -> tuple[AttemptRow, ...]:
        """Return the attempts of a run, or of one of its nodes, by node; those of a node oldest first.

        ``limit``: only the newest ones of each node. ``before``: only older ones than this.
        """
        with self._snapshot() as connection:
            found = [*_closed(connection, run_key, node, before, limit)]
            if before is None:
                tries = {each.node: each.tries for each in found}
                opened = _open(connection, run_key, node)
                found += [each._replace(tries=tries.get(each.node, 0) + 1) for each in opened]
        found.sort(key=lambda each: (each.node, each.place))
        if limit is None:
            return tuple(found)
        nodes = (tuple(group) for _, group in groupby(found, key=lambda each: each.node))
        return tuple(each for group in nodes for each in group[-limit:])

    def attempt_counts(self, run_key: str) -> dict[int, int]:
        """Return, by node index, how many attempts a node has had: all that count, the open one included."""
        counted = _a.state != AttemptState.WITHDRAWN
        closed = select(_a.node.label("node")).where(_a.run_key == run_key, counted)
        opened = select(_n.idx).where(_n.run_key == run_key, _n.token.is_not(None))
        every = union_all(closed, opened).subquery()
        query = select(every.c.node, func.count().label("total")).group_by(every.c.node)
        with self._statement() as connection:
            return {row.node: row.total for row in connection.execute(query)}


_BEGAN = (
    select(func.min(_e.at))
    .where(_e.run_key == _r.run_key, _e.accepted, _e.begun)
    .correlate(t.dag_runs, t.nodes, t.attempts)
)


def _closed(
    connection: Connection, run_key: str, node: int | None, before: AttemptPlace | None, limit: int | None
) -> Sequence[AttemptRow]:
    """Return closed attempts, those of a node oldest first."""
    place = (_a.run_attempt, _a.number, _a.dispatched_at)
    from_newest = func.row_number().over(partition_by=_a.node, order_by=[each.desc() for each in place])
    counts = case((_a.state == AttemptState.WITHDRAWN, 0), else_=1)
    tries = func.sum(counts).over(partition_by=_a.node, order_by=place)
    # A step may have tens of thousands. All are counted here, so only what this needs is read of each.
    counting = select(_a.token, tries.label("tries"), from_newest.label("from_newest")).where(_a.run_key == run_key)
    if node is not None:
        counting = counting.where(_a.node == node)
    if before is not None:
        counting = counting.where(tuple_(*place) < tuple_(*before))
    counted = counting.subquery()
    # The start of an attempt whose worker was lost is only in its execution.
    began = case(
        (_a.started_at.is_not(None), _a.started_at), else_=_BEGAN.where(_e.token == _a.token).scalar_subquery()
    )
    query = (
        select(_a.node, _n.name, _a.run_attempt, _a.number, _a.state, _a.outcome, _a.worker_id, _a.exit_code, _a.error)
        .add_columns(_a.dispatched_at, began.label("began"), _a.finished_at, counted.c.tries)
        .join_from(counted, t.attempts, _a.token == counted.c.token)
        .join(t.nodes, and_(_n.run_key == _a.run_key, _n.idx == _a.node))
        .join(t.dag_runs, _r.run_key == _a.run_key)
        .where(_SHOWN)
        .order_by(_a.node, *place)
    )
    if limit is not None:
        query = query.where(counted.c.from_newest <= limit)
    return [_attempt(row) for row in connection.execute(query)]


def _open(connection: Connection, run_key: str, node: int | None) -> Sequence[AttemptRow]:
    began = _BEGAN.where(_e.token == _n.token).scalar_subquery()
    nothing: ColumnElement[None] = literal_column("NULL")
    query = (
        select(_n.idx, _n.name, _r.run_attempt, _n.number, _n.token_state, nothing.label("outcome"), _n.token_worker)
        .add_columns(nothing.label("exit_code"), literal_column("''").label("error"), _n.dispatched_at)
        .add_columns(began.label("began"), nothing.label("finished"), literal_column("0").label("tries"))
        .join_from(t.nodes, t.dag_runs, _r.run_key == _n.run_key)
        .where(_n.run_key == run_key, _SHOWN, _n.token.is_not(None))
    )
    if node is not None:
        query = query.where(_n.idx == node)
    return [_attempt(row) for row in connection.execute(query)]


def _attempt(row: AnyRow) -> AttemptRow:
    values = list(row)
    values[4] = AttemptState(values[4])
    return AttemptRow(*values)
