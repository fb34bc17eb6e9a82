"""Counts the history of runs, and finds the changes of status between two marks of the stream of transitions.

A mark says which transactions are committed: on Postgres a snapshot, on SQLite a transaction number.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Text, and_, cast, extract, func, literal, select, text, true

from shared.run_totals import DURATION_BOUNDS_S, UNCOUNTED, WAIT_BOUNDS_S, DagTotals, Distribution, StatusChange
from shared.status import RunStatus
from shared.store import tables as t
from shared.store.engine import is_postgres

__all__ = ["changes_between", "count_history", "current_mark", "is_later"]

_r, _x = t.dag_runs.c, t.transitions.c
_AT_ONCE = 1000


def current_mark(connection: Connection) -> str:
    """Return the mark of what a next statement sees."""
    return str(connection.execute(select(_mark(connection))).scalar_one())


def is_later(connection: Connection, mark: str, than: str) -> bool:
    """Return whether ``mark`` may follow ``than``.

    It does not if the database was restored from a dump on another server, which counts its transactions anew.
    """
    place = 1 if is_postgres(connection) else 0
    return int(mark.split(":")[place]) >= int(than.split(":")[place])


def changes_between(connection: Connection, since: str, until: str) -> Iterator[StatusChange]:
    """Yield the changes of root runs' statuses that are committed at ``until`` and were not at ``since``."""
    query = (
        select(_r.dag_name, _x.was, _x.became, _r.queued_at, _r.started_at, _r.finished_at, _r.run_attempt)
        .join_from(t.transitions, t.dag_runs, _r.run_key == _x.run_key)
        .where(_x.node.is_(None), _r.root_key.is_(None))
    )
    if is_postgres(connection):
        oldest_open, next_number = int(since.split(":", maxsplit=1)[0]), int(until.split(":")[1])
        seen = "pg_visible_in_snapshot(transitions.txid::text::xid8, CAST(:{} AS pg_snapshot))"
        query = query.where(
            _x.txid >= oldest_open,
            _x.txid < next_number,
            text(f"NOT {seen.format('since')}").bindparams(since=since),
            text(seen.format("until")).bindparams(until=until),
        )
    else:
        # SQLite has one writer at a time.
        query = query.where(_x.txid > int(since), _x.txid <= int(until))
    # After an import there may be millions of them.
    for row in connection.execute(query, execution_options={"yield_per": _AT_ONCE}):
        yield StatusChange(*row)


def count_history(connection: Connection) -> tuple[str, dict[str, DagTotals]]:
    """Count all root runs; return the mark of the count, and totals by DAG name. Scans every run.

    One statement, so that the mark and all counts are of one moment whatever the isolation.
    """
    took = _seconds(connection, _r.started_at, _r.finished_at)
    queued = _seconds(connection, _r.queued_at, _r.started_at)
    ended = and_(took.is_not(None), _r.status.not_in([*UNCOUNTED, RunStatus.WAITING]))
    waited = and_(queued.is_not(None), _r.run_attempt == 1)
    counts = (
        select(
            _r.dag_name,
            _r.status,
            func.count().label("runs"),
            *_histogram("took", took, ended, DURATION_BOUNDS_S),
            *_histogram("queued", queued, waited, WAIT_BOUNDS_S),
        )
        .where(_r.root_key.is_(None))
        .group_by(_r.dag_name, _r.status)
        .subquery()
    )
    # An outer join, because a database without runs has a mark too.
    moment = select(_mark(connection).label("mark")).subquery()
    found: dict[str, DagTotals] = {}
    mark = ""
    for row in connection.execute(select(moment.c.mark, counts).select_from(moment.outerjoin(counts, true()))):
        mark = str(row.mark)
        if row.dag_name is None:
            continue
        status = RunStatus(row.status)
        found.setdefault(row.dag_name, DagTotals()).add(
            DagTotals(
                {} if status in UNCOUNTED else {status: row.runs},
                _distribution(DURATION_BOUNDS_S, row, "took"),
                _distribution(WAIT_BOUNDS_S, row, "queued"),
            )
        )
    return mark, found


def _mark(connection: Connection) -> ColumnElement[Any]:
    if is_postgres(connection):
        return cast(func.pg_current_snapshot(), Text)
    return select(t.counters.c.value).where(t.counters.c.name == "transaction").scalar_subquery()


def _seconds(connection: Connection, begin: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[Any]:
    if is_postgres(connection):
        return cast(extract("epoch", end - begin), Float)
    return (func.julianday(end) - func.julianday(begin)) * 86400.0


def _histogram(
    name: str, seconds: ColumnElement[Any], counted: ColumnElement[bool], bounds: Sequence[float]
) -> list[ColumnElement[Any]]:
    within = [and_(counted, seconds <= literal(bound)) for bound in bounds]
    return [
        *(func.count().filter(each).label(f"{name}_{place}") for place, each in enumerate(within)),
        func.count().filter(counted).label(f"{name}_{len(bounds)}"),
        func.coalesce(func.sum(seconds).filter(counted), 0.0).label(f"{name}_s"),
    ]


def _distribution(bounds: tuple[float, ...], row: Any, name: str) -> Distribution:
    counts = [getattr(row, f"{name}_{place}") for place in range(len(bounds) + 1)]
    return Distribution(bounds, counts, float(getattr(row, f"{name}_s")))
