"""Reads of DAG runs, their nodes and their transitions."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
    union_all,
)

from shared.status import RunStatus
from shared.store import tables as t
from shared.store.functions import bytewise
from shared.store.queries.matching import among, contains, elements, has_element
from shared.store.queries.runs import (
    ALL_NEWEST_FIRST,
    ALL_OLDEST_FIRST,
    BY_DAG,
    HAS_LONG_ID,
    IS_ROOT,
    NEWEST_FIRST,
    OF_DAG_NEWEST_FIRST,
    QUEUED,
    RUNNING,
    USUAL_ID,
    newest_key,
    of_dag,
)
from shared.store.reads.base import AnySelect, Reader
from shared.store.reads.prepared import PreparedSelect
from shared.store.reads.rows import ListedRunRow, NodeRow, RunName, RunRow, TransitionRow
from shared.store.reads.run_rows import (
    NODE_COLUMNS,
    ROOT_COLUMNS,
    node_from_row,
    root_from_row,
    run_from_row,
    run_with_nodes,
    select_one_root,
    select_one_run,
    select_runs,
)

__all__ = ["LATEST", "RunReads"]

LATEST = "latest"
"""A run id that means the DAG's newest run."""

_MAX_RUNS = 1000
"""The most runs in one list, as in Dagu's API."""

_SEARCHED = 20_000
"""How many runs one search reads at most. It has no index of what it looks for, and may find nothing."""

_r = t.dag_runs.c
_n = t.nodes.c


def _with_nodes(connection: Connection, runs: Sequence[RunRow]) -> tuple[RunRow, ...]:
    nodes: dict[str, list[NodeRow]] = {run.run_key: [] for run in runs}
    if runs:
        for run_key, *row in connection.execute(_NODES, {"run_keys": [run.run_key for run in runs]}):
            nodes[run_key].append(node_from_row(run_key, row))
    return tuple(run._replace(nodes=tuple(nodes[run.run_key])) for run in runs)


def _ordered(
    dag_name: str | None,
    status: RunStatus | None,
    created_from: datetime | None,
    created_before: datetime | None,
    behind: ListedRunRow | None,
) -> list[ColumnElement[bool]]:
    """Return the conditions on root runs that an index in the order of lists serves."""
    where: list[ColumnElement[bool]] = [_r.root_key.is_(None)]
    if dag_name is not None:
        where.append(of_dag(dag_name))
    if status is not None:
        # A literal: SQLite does not use the partial index of runs that did not succeed for a bound parameter.
        where.append(_r.status == literal_column(f"'{status}'"))
    if created_from is not None:
        where.append(_r.created_at >= created_from)
    if created_before is not None:
        where.append(_r.created_at < created_before)
    if behind is not None:
        same_time = and_(_r.created_at == behind.created_at, _later_id(behind))
        where += [_r.created_at <= behind.created_at, or_(_r.created_at < behind.created_at, same_time)]
    return where


def _order(dag_name: str | None, *, oldest_first: bool = False) -> tuple[Any, ...]:
    if dag_name is None:
        return ALL_OLDEST_FIRST if oldest_first else ALL_NEWEST_FIRST
    return (_r.dag_name.desc(), *ALL_OLDEST_FIRST) if oldest_first else (_r.dag_name, *ALL_NEWEST_FIRST)


def _later_id(than: ListedRunRow) -> ColumnElement[bool]:
    """Return the condition on runs that come later in the order than another one that was created at the same time."""
    same_id = and_(_r.dag_run_id == than.dag_run_id, bytewise(_r.run_key) > than.run_key)
    return or_(bytewise(_r.dag_run_id) > than.dag_run_id, same_id)


def _has_id_part(part: str) -> ColumnElement[bool]:
    here = contains(_r.dag_run_id, part)
    if len(part) < USUAL_ID:
        return here
    # It is the whole id of a run, or a part of a longer one. Indexes have both.
    longer = select(_r.run_key).where(_r.root_key.is_(None), HAS_LONG_ID, here)
    whole = select(_r.run_key).where(_r.root_key.is_(None), _r.dag_run_id == part)
    return among(_r.run_key, union_all(whole, longer).scalar_subquery())


def _latest_of_each() -> AnySelect:
    names = elements(bindparam("dag_names", type_=String)).alias("wanted")
    # Few runs are running and a partial index has only those, so one query ranks them all. The newest run of a DAG
    # is one index entry, even if the DAG has many runs.
    place = func.row_number().over(partition_by=BY_DAG, order_by=NEWEST_FIRST).label("place")
    ranked = select(_r.dag_name, _r.run_key, place).where(_r.status == RUNNING, IS_ROOT).subquery()
    running = and_(ranked.c.dag_name == names.c.value, ranked.c.place == literal_column("1"))
    keys = select(func.coalesce(ranked.c.run_key, newest_key(names.c.value)))
    chosen = keys.select_from(names.outerjoin(ranked, running)).scalar_subquery()
    return select(*ROOT_COLUMNS).where(among(_r.run_key, chosen))


# Built once: building a statement takes a third of the time of a query.
_ONE_ROOT = select_one_root()
_BY_NAME = PreparedSelect(
    _ONE_ROOT.where(_r.dag_name == bindparam("dag_name"), _r.dag_run_id == bindparam("dag_run_id"))
)
_LATEST = PreparedSelect(_ONE_ROOT.where(_r.run_key == newest_key(bindparam("dag_name"))))
_ONE_VERSION = select(_r.run_key, _r.version).where(_r.root_key.is_(None))
_VERSION_BY_NAME = PreparedSelect(
    _ONE_VERSION.where(_r.dag_name == bindparam("dag_name"), _r.dag_run_id == bindparam("dag_run_id"))
)
_VERSION_OF_LATEST = PreparedSelect(_ONE_VERSION.where(_r.run_key == newest_key(bindparam("dag_name"))))
_STATUS = PreparedSelect(select(_r.status).where(_r.run_key == bindparam("run_key")))
_BY_KEYS = select(*ROOT_COLUMNS).where(_r.run_key.in_(bindparam("run_keys", expanding=True)), _r.root_key.is_(None))
_LATEST_OF_EACH = PreparedSelect(_latest_of_each())
_BELOW_ROOT = PreparedSelect(
    select_one_run().where(_r.root_key == bindparam("root_key"), _r.dag_run_id == bindparam("dag_run_id"))
)
_NODES = (
    select(_n.run_key, *NODE_COLUMNS)
    .where(_n.run_key.in_(bindparam("run_keys", expanding=True)))
    .order_by(_n.run_key, _n.idx)
)


class RunReads(Reader):
    """Reads of runs.

    A root run is found by ``(dag_name, dag_run_id)``. A sub-run is found by its root run and its ``dag_run_id``.
    """

    def run(self, dag_name: str, dag_run_id: str) -> RunRow | None:
        """Return a root run with its nodes, or the DAG's newest root run if ``dag_run_id`` is ``LATEST``."""
        if dag_run_id == LATEST:
            return self._one(_LATEST, dag_name=dag_name)
        return self._one(_BY_NAME, dag_name=dag_name, dag_run_id=dag_run_id)

    def run_version(self, dag_name: str, dag_run_id: str) -> tuple[str, int] | None:
        """Return the key and the version of the run that ``run`` returns. Cheaper than ``run``."""
        if dag_run_id == LATEST:
            rows = _VERSION_OF_LATEST.rows(self._engine, dag_name=dag_name)
        else:
            rows = _VERSION_BY_NAME.rows(self._engine, dag_name=dag_name, dag_run_id=dag_run_id)
        return (rows[0][0], rows[0][1]) if rows else None

    def run_status(self, run_key: str) -> RunStatus | None:
        """Return the status of a run, or ``None`` if there is none with this key. Cheaper than ``run``."""
        rows = _STATUS.rows(self._engine, run_key=run_key)
        return RunStatus(rows[0][0]) if rows else None

    def sub_run(self, root_key: str, dag_run_id: str) -> RunRow | None:
        """Return a sub-run, at any depth below the root run, with its nodes."""
        return self._one(_BELOW_ROOT, root_key=root_key, dag_run_id=dag_run_id)

    def _one(self, query: PreparedSelect, **names: str) -> RunRow | None:
        rows = query.rows(self._engine, **names)
        return run_with_nodes(rows) if rows else None

    def runs(
        self,
        *,
        dag_name: str | None = None,
        id_part: str = "",
        run_id: str = "",
        search: str = "",
        tag: str = "",
        started_by: str = "",
        status: RunStatus | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        behind: ListedRunRow | None = None,
        down_to: ListedRunRow | None = None,
        oldest_first: bool = False,
        limit: int = _MAX_RUNS,
    ) -> tuple[ListedRunRow, ...]:
        """Return the root runs that match all filters, newest first; runs created at the same time by id and key.

        ``run_id``: the whole run id; ``id_part``: a case-sensitive substring of it. ``search``: a substring, in any
        case, of the run id or of the DAG's name. ``tag``: a tag that the present DAG of this name has. ``started_by``:
        who asked for the run.
        ``created_from <= created_at < created_before``.
        ``behind``: the last run of the previous page; only runs later in the order are returned. That run may have
        been deleted. ``down_to``: the last run in the order to look at (``search_end``).
        """
        where = [self._ours(_r.dag_name), *_ordered(dag_name, status, created_from, created_before, behind)]
        if down_to is not None:
            same_time = and_(_r.created_at == down_to.created_at, not_(_later_id(down_to)))
            where += [_r.created_at >= down_to.created_at, or_(_r.created_at > down_to.created_at, same_time)]
        if run_id:
            where.append(_r.dag_run_id == run_id)
        if id_part:
            where.append(_has_id_part(id_part))
        if search:
            part = search.lower()
            name = func.lower(self._plain(_r.dag_name))
            where.append(or_(contains(name, part), contains(func.lower(_r.dag_run_id), part)))
        if tag:
            tagged = select(t.dags.c.dag_name).where(has_element(t.dags.c.tags, tag.lower()))
            where.append(_r.dag_name.in_(tagged))
        if started_by:
            where.append(_r.started_by == started_by)
        query = select(_r.run_key, _r.version, _r.created_at, _r.dag_run_id).where(*where)
        query = query.order_by(*_order(dag_name, oldest_first=oldest_first)).limit(limit)
        with self._statement() as connection:
            return tuple([ListedRunRow(*row) for row in connection.execute(query)])

    def search_end(
        self,
        *,
        dag_name: str | None = None,
        status: RunStatus | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        behind: ListedRunRow | None = None,
        most: int = _SEARCHED,
    ) -> ListedRunRow | None:
        """Return the run at which a search among these runs pauses, after ``most`` of them; ``None`` if they are fewer.

        ``runs`` with ``search``, ``tag`` or ``started_by`` reads the runs in their order, until it has found enough. So
        that a search without a hit does not read the whole history, the caller gives this run as ``down_to``, and goes
        on with it as ``behind``.
        """
        where = [self._ours(_r.dag_name), *_ordered(dag_name, status, created_from, created_before, behind)]
        query = select(_r.run_key, _r.version, _r.created_at, _r.dag_run_id).where(*where)
        query = query.order_by(*_order(dag_name)).offset(most - 1).limit(1)
        with self._statement() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else ListedRunRow(*row)

    def runs_by_key(self, run_keys: Iterable[str]) -> dict[str, RunRow]:
        """Return the root runs with these keys, by key, without nodes. Keys that do not exist are left out."""
        keys = sorted(set(run_keys))
        with self._statement() as connection:
            rows = connection.execute(_BY_KEYS, {"run_keys": keys}) if keys else ()
            return {run.run_key: run for run in map(root_from_row, rows)}

    def runs_at_any_depth(self, run_keys: Iterable[str]) -> dict[str, RunRow]:
        """Return the runs with these keys, sub-runs as well, by key, without nodes."""
        keys = sorted(set(run_keys))
        return {run.run_key: run for run in self._many(select_runs().where(_r.run_key.in_(keys)))} if keys else {}

    def recent_runs(self, dag_name: str, *, limit: int = 30) -> tuple[RunRow, ...]:
        """Return the newest root runs of a DAG with their nodes, newest first."""
        query = select_runs().where(of_dag(dag_name), _r.root_key.is_(None))
        return self._many(query.order_by(*OF_DAG_NEWEST_FIRST).limit(limit), nodes=True)

    def sub_runs(self, root_key: str, parent_key: str) -> tuple[RunRow, ...]:
        """Return the direct children of a run without nodes, oldest first.

        If the parent is a root run, ``root_key`` is the same as ``parent_key``.
        """
        query = select_runs().where(_r.root_key == root_key, _r.parent_key == parent_key)
        return self._many(query.order_by(_r.created_at, bytewise(_r.dag_run_id)))

    def latest_runs(self, dag_names: Iterable[str]) -> dict[str, RunRow]:
        """Return, by DAG name, the newest running root run, or the newest root run if none is running."""
        names = sorted(set(dag_names))
        if not names:
            return {}
        rows = _LATEST_OF_EACH.rows(self._engine, dag_names=json.dumps(names, ensure_ascii=False))
        return {run.dag_name: run for run in map(root_from_row, rows)}

    def called_runs(self, root_key: str, parent_key: str) -> tuple[tuple[int | None, str, str], ...]:
        """Return (calling node, run id, params) of each run that this run called, oldest first."""
        query = select(_r.parent_node, _r.dag_run_id, _r.parent_params).where(
            _r.root_key == root_key, _r.parent_key == parent_key
        )
        with self._statement() as connection:
            rows = connection.execute(
                query.order_by(_r.created_at, bytewise(_r.parent_params), bytewise(_r.dag_run_id))
            )
            return tuple((node, run_id, params or "") for node, run_id, params in rows)

    def runs_of_queue(
        self, queue: str, *, queued: bool, behind: RunName | None = None, limit: int | None = None
    ) -> tuple[RunName, ...]:
        """Return the root runs in a queue, by name and id: those that are queued, or those that are running.

        ``behind``: only runs later in this order are returned.
        """
        status = QUEUED if queued else RUNNING
        name, run_id = bytewise(_r.dag_name), bytewise(_r.dag_run_id)
        query = select(_r.dag_name, _r.dag_run_id).where(_r.status == status, _r.queue == queue, IS_ROOT)
        if behind is not None:
            later_id = and_(name == behind.dag_name, run_id > behind.dag_run_id)
            query = query.where(or_(name > behind.dag_name, later_id))
        with self._statement() as connection:
            rows = connection.execute(query.order_by(name, run_id).limit(limit))
            return tuple(RunName(row.dag_name, row.dag_run_id) for row in rows)

    def running_run_ids(self, dag_name: str) -> tuple[str, ...]:
        """Return the ids of a DAG's running root runs, newest first."""
        query = select(_r.dag_run_id).where(_r.status == RUNNING, _r.dag_name == dag_name, _r.root_key.is_(None))
        with self._statement() as connection:
            return tuple(connection.execute(query.order_by(*NEWEST_FIRST)).scalars())

    def transitions(self, run_key: str) -> tuple[TransitionRow, ...]:
        """Return the transitions of a run and its nodes, in order."""
        x = t.transitions.c
        named = t.transitions.outerjoin(t.nodes, and_(t.nodes.c.run_key == x.run_key, t.nodes.c.idx == x.node))
        query = (
            select(t.transitions, t.nodes.c.name.label("node_name"))
            .select_from(named)
            .where(x.run_key == run_key)
            .order_by(x.seq)
        )
        with self._statement() as connection:
            return tuple(
                TransitionRow(row.seq, row.at, row.node, row.node_name, row.was, row.became, row.why, row.by)
                for row in connection.execute(query)
            )

    def _many(self, query: AnySelect, *, nodes: bool = False) -> tuple[RunRow, ...]:
        with self._snapshot() as connection:
            runs = tuple(run_from_row(row) for row in connection.execute(query))
            return _with_nodes(connection, runs) if nodes else runs
