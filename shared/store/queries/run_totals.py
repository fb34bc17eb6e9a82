"""Counts the history of runs, and finds the changes of status between two marks of the stream of transitions.

A mark says which transactions are committed: on Postgres a snapshot, on SQLite a transaction number.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Insert,
    Table,
    Text,
    and_,
    case,
    cast,
    extract,
    func,
    insert,
    literal,
    select,
    text,
    true,
    union_all,
)

from shared.clock import utc_now
from shared.run_totals import (
    CHANGES_KEPT,
    DURATION_BOUNDS_S,
    UNCOUNTED,
    WAIT_BOUNDS_S,
    DagTotals,
    Distribution,
    StatusChange,
)
from shared.status import RunStatus
from shared.store import tables as t
from shared.store.engine import is_postgres

__all__ = ["changes_between", "count_history", "current_mark", "is_later", "kept_since", "save_changes"]

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
    kept = (
        select(_r.dag_name, _x.was, _x.became, _r.queued_at, _r.started_at, _r.finished_at, _r.run_attempt)
        .join_from(t.transitions, t.dag_runs, _r.run_key == _x.run_key)
        .where(_x.node.is_(None), _r.root_key.is_(None), *_between(connection, t.transitions, since, until))
    )
    # A run may be removed before its end was counted.
    removed = select(*(t.removed_changes.c[name] for name in StatusChange._fields)).where(
        *_between(connection, t.removed_changes, since, until)
    )
    # After an import there may be millions of them.
    for row in connection.execute(union_all(kept, removed), execution_options={"yield_per": _AT_ONCE}):
        yield StatusChange(*row)


def _between(connection: Connection, table: Table, since: str, until: str) -> list[Any]:
    """Return the conditions for rows of a table whose transactions are committed at ``until`` and not at ``since``."""
    number = table.c.txid
    if not is_postgres(connection):
        # SQLite has one writer at a time.
        return [number > int(since), number <= int(until)]
    oldest_open, next_number = int(since.split(":", maxsplit=1)[0]), int(until.split(":")[1])
    seen = f"pg_visible_in_snapshot({number}::text::xid8, CAST(:{{}} AS pg_snapshot))"
    return [
        number >= oldest_open,
        number < next_number,
        text(f"NOT {seen.format('since')}").bindparams(since=since),
        text(seen.format("until")).bindparams(until=until),
    ]


def kept_since(connection: Connection) -> ColumnElement[datetime]:
    """Return since when the changes of removed runs are kept, by the database's clock: a host's may be wrong."""
    if is_postgres(connection):
        return func.now() - CHANGES_KEPT
    return literal(utc_now() - CHANGES_KEPT, _x.at.type)


def save_changes(connection: Connection, run_keys: Sequence[str]) -> Insert:
    """Return the statement that keeps the latest changes of root runs that are about to be removed."""
    columns = {
        "run_key": _x.run_key,
        "seq": _x.seq,
        "txid": _x.txid,
        "at": _x.at,
        **{name: _r[name] if name in _r else _x[name] for name in StatusChange._fields},
    }
    return insert(t.removed_changes).from_select(
        list(columns),
        select(*columns.values())
        .join_from(t.transitions, t.dag_runs, _r.run_key == _x.run_key)
        .where(_x.run_key.in_(run_keys), _x.node.is_(None), _r.root_key.is_(None), _x.at > kept_since(connection)),
    )


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
    """Return the seconds between two times: none if one is missing, 0 if the clock was set back between them."""
    if is_postgres(connection):
        lasted: ColumnElement[Any] = cast(extract("epoch", end - begin), Float)
    else:
        lasted = (func.julianday(end) - func.julianday(begin)) * 86400.0
    return case((end >= begin, lasted), (end < begin, 0.0))


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
