"""Counts of root runs by status: reads the whole history once, then only the changes committed since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, TextClause, case, extract, func, select, text

from shared.status import RunStatus
from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.reads.base import Reader

__all__ = ["Histogram", "History", "StatusChange", "TotalsReads"]

Histogram = Mapping[str, tuple[tuple[int, ...], float]]
"""By DAG name: ``(counts, sum of seconds)``.

``counts[i]`` is the number of runs that took at most bound ``i``; one more count at the end is of all runs.
"""

_r = t.dag_runs.c
_x = t.transitions.c


class StatusChange(NamedTuple):
    """A change of a root run's status. The times and ``run_attempt`` are the run's current ones."""

    dag_name: str
    was: str
    became: str
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    run_attempt: int


@dataclass(frozen=True, slots=True)
class History:
    """Counts of all root runs. Pass ``mark`` to the next call of ``changes_since``."""

    mark: str
    runs: Mapping[tuple[str, RunStatus], int]
    """By DAG name and status."""
    durations: Histogram
    """From started to finished, of runs that have ended. A run that waits for approval has not ended."""
    waits: Histogram
    """From queued to started, of runs in their first run attempt: after a retry the times do not belong together."""


class TotalsReads(Reader):
    """Counts over the history of runs."""

    def history(self, duration_bounds: Sequence[float], wait_bounds: Sequence[float]) -> History:
        """Count all root runs; bounds are in seconds. Scans every run, so call it once per process."""
        runs = select(_r.dag_name, _r.status, func.count().label("runs")).where(_r.root_key.is_(None))
        with self._snapshot() as connection:
            return History(
                _mark(connection),
                {
                    (row.dag_name, RunStatus(row.status)): row.runs
                    for row in connection.execute(runs.group_by(_r.dag_name, _r.status))
                },
                _histogram(connection, _r.started_at, _r.finished_at, duration_bounds, _r.status != RunStatus.WAITING),
                _histogram(connection, _r.queued_at, _r.started_at, wait_bounds, _r.run_attempt == 1),
            )

    def changes_since(self, mark: str) -> tuple[str, tuple[StatusChange, ...]]:
        """Return a new mark, and the changes of root runs' statuses committed since ``mark``.

        If each call passes the mark of the previous call, every change is returned exactly once.
        """
        query = (
            select(_r.dag_name, _x.was, _x.became, _r.queued_at, _r.started_at, _r.finished_at, _r.run_attempt)
            .join_from(t.transitions, t.dag_runs, _r.run_key == _x.run_key)
            .where(_x.node.is_(None), _r.root_key.is_(None))
        )
        with self._snapshot() as connection:
            rows = connection.execute(query.where(*_committed_since(connection, mark)))
            changes = tuple(StatusChange(*row) for row in rows)
            return _mark(connection), changes


def _mark(connection: Connection) -> str:
    """Return a mark: it says which transactions are committed now."""
    if is_postgres(connection):
        return str(connection.execute(text("SELECT pg_current_snapshot()::text")).scalar_one())
    counter = t.counters.c
    return str(connection.execute(select(counter.value).where(counter.name == "transaction")).scalar_one())


def _committed_since(connection: Connection, mark: str) -> list[ColumnElement[bool] | TextClause]:
    if not is_postgres(connection):
        # SQLite has one writer at a time.
        return [_x.txid > int(mark)]
    oldest_open = int(mark.partition(":")[0])
    unseen = text("NOT pg_visible_in_snapshot(transitions.txid::text::xid8, CAST(:mark AS pg_snapshot))")
    return [_x.txid >= oldest_open, unseen.bindparams(mark=mark)]


def _histogram(
    connection: Connection,
    begin: ColumnElement[Any],
    end: ColumnElement[Any],
    bounds: Sequence[float],
    counted: ColumnElement[bool],
) -> Histogram:
    seconds: ColumnElement[Any] = (
        extract("epoch", end) - extract("epoch", begin)
        if is_postgres(connection)
        else (func.julianday(end) - func.julianday(begin)) * 86400.0
    )
    counts = [func.sum(case((seconds <= bound, 1), else_=0)).label(f"le_{i}") for i, bound in enumerate(bounds)]
    query: Select[*tuple[object, ...]] = (
        select(_r.dag_name, func.count().label("runs"), func.sum(seconds).label("total"), *counts)
        .where(_r.root_key.is_(None), begin.is_not(None), end.is_not(None), counted)
        .group_by(_r.dag_name)
    )
    return {
        row.dag_name: ((*(int(getattr(row, f"le_{i}")) for i in range(len(bounds))), row.runs), float(row.total))
        for row in connection.execute(query)
    }
