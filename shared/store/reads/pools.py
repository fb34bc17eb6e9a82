"""Reads of pools: which steps have a place, which wait for a place, and why the nodes of a run have not started."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
)

from shared.admission.pools import Claim, PoolKey
from shared.store import tables as t
from shared.store.queries.workers import DRAINING, LIVE, believed_state
from shared.store.reads.base import AnyRow, AnySelect, Reader
from shared.store.reads.rows import NodeRow, RunningWorker, RunRow

__all__ = ["NodeState", "NodeWait", "PoolReads", "PoolRow", "PoolUserRow"]

_NAMED = 20
_MOST = 500
Key = tuple[str, str]


class PoolUserRow(NamedTuple):
    """A step that has a place in a pool, or waits for one. ``until``: when its place in a rate limit becomes free."""

    dag_name: str
    dag_run_id: str
    step: str
    since: datetime
    until: datetime | None = None


class PoolRow(NamedTuple):
    """A pool, lock or rate limit (``kind``: pool, lock, rate). ``interval_s`` is 0 except for rate limits.

    The ``capacity`` of a rate limit is the limit of the first waiting step, or 0 if no step waits. ``users`` and
    ``waiting`` have the first few steps, oldest first; ``taken`` and ``waiting_count`` count all.
    """

    kind: str
    name: str
    capacity: int
    interval_s: float
    taken: int
    waiting_count: int
    users: tuple[PoolUserRow, ...]
    waiting: tuple[PoolUserRow, ...]
    free_at: datetime | None = None


class NodeWait(NamedTuple):
    """A node's wait for a pool. ``ahead``: how many nodes are before it.

    ``limit`` and ``interval_s`` are the node's own if the pool is a rate limit, else 0.
    """

    pool: Key
    ahead: int
    limit: int
    interval_s: float


class NodeState(NamedTuple):
    """Why a node has not started yet, or why its next attempt has not. ``name``: its step's."""

    name: str
    waits: tuple[NodeWait, ...]
    dispatched: bool
    worker_id: str | None
    retry_at: datetime | None


def _state(node: NodeRow | AnyRow, waits: Mapping[tuple[str, int], list[NodeWait]]) -> NodeState:
    mine = tuple(waits.get((node.run_key, node.idx), ()))
    return NodeState(node.name, mine, node.token_state == "dispatched", node.token_worker, node.retry_at)


def _select_waits() -> AnySelect:
    w = t.pool_waits.c
    run_keys: BindParameter[Any] = bindparam("run_keys", expanding=True)
    # Each line is counted once, up to the last of these runs. To count for each run who is before it would read the
    # line as often as it has runs.
    last = (
        select(w.kind, w.name, func.max(w.entry_order).label("entry_order"))
        .where(w.run_key.in_(run_keys))
        .group_by(w.kind, w.name)
        .subquery()
    )
    place = func.row_number().over(partition_by=(w.kind, w.name), order_by=(w.entry_order, w.run_key, w.node))
    line = (
        select(w.run_key, w.node, w.kind, w.name, w.limit, w.interval_s, (place - 1).label("ahead"))
        .join(last, and_(last.c.kind == w.kind, last.c.name == w.name, w.entry_order <= last.c.entry_order))
        .subquery()
    )
    return select(line).where(line.c.run_key.in_(run_keys)).order_by(line.c.kind, line.c.name)


# Built once: building a statement takes longer than the database takes to answer it.
_n = t.nodes.c
_WAITS = _select_waits()
_WAITING_NODES = select(_n.run_key, _n.idx, _n.name, _n.admission, _n.token_state, _n.token_worker, _n.retry_at).where(
    _n.run_key.in_(bindparam("run_keys", expanding=True)),
    or_(_n.admission == "waits", _n.token_state == "dispatched", _n.retry_at.is_not(None)),
)


class PoolReads(Reader):
    """Reads of pools and waiting nodes."""

    def pools(self, now: datetime, keys: Iterable[Key] | None = None) -> dict[Key, PoolRow]:
        """Return the pools with these keys, or all pools that are configured, in use or waited for."""
        if keys is not None and not (keys := set(keys)):
            return {}
        with self._snapshot() as connection:
            capacities = {
                row.name: row.capacity
                for row in connection.execute(
                    select(t.pools.c.name, t.pools.c.capacity).where(self._ours(t.pools.c.name))
                )
            }
            wanted = sorted(keys if keys is not None else self._known(connection, capacities))[:_MOST]
            places, waits = t.pool_places, t.pool_waits
            here = or_(places.c.until_at.is_(None), places.c.until_at > now)
            used = _counted(connection, places, places.c.entered_at, here, wanted)
            line = _counted(connection, waits, waits.c.asked_at, waits.c.node >= 0, wanted)
            free_at = {
                (row.kind, row.name): row.at
                for row in connection.execute(
                    select(places.c.kind, places.c.name, func.min(places.c.until_at).label("at"))
                    .where(here, tuple_(places.c.kind, places.c.name).in_(wanted))
                    .group_by(places.c.kind, places.c.name)
                )
            }
            rates = {
                (row.kind, row.name): (row.limit, row.interval_s)
                for row in connection.execute(
                    select(waits.c.kind, waits.c.name, waits.c.limit, waits.c.interval_s)
                    .where(waits.c.kind == "rate", tuple_(waits.c.kind, waits.c.name).in_(wanted))
                    .order_by(waits.c.entry_order.desc(), waits.c.run_key.desc())
                )
            }
        found = {}
        for key in wanted:
            limit, interval_s = rates.get(key, (0, 0.0))
            capacity = Claim(PoolKey(*key), limit).capacity(capacities.get(key[1]))
            taken, users = used.get(key, (0, ()))
            count, waiting = line.get(key, (0, ()))
            found[key] = PoolRow(*key, capacity, interval_s, taken, count, users, waiting, free_at.get(key))
        return found

    def _known(self, connection: Connection, capacities: Iterable[str]) -> set[Key]:
        found = {("pool", name) for name in capacities}
        for table in (t.pool_places, t.pool_waits):
            query = select(table.c.kind, table.c.name).where(self._ours(table.c.name)).distinct()
            found.update((kind, name) for kind, name in connection.execute(query))
        return found

    def node_states(self, run: RunRow) -> dict[int, NodeState]:
        """Return, by index, the nodes of a run that wait for a pool, for a worker, or for their next attempt.

        ``run`` must have its nodes. The database is only asked for pools that they wait for.
        """
        nodes = [node for node in run.nodes or () if node.waits_for_something]
        waits = self._waits([run.run_key]) if any(node.admission == "waits" for node in nodes) else {}
        return {node.idx: _state(node, waits) for node in nodes}

    def node_states_of(self, run_keys: Iterable[str]) -> dict[str, dict[int, NodeState]]:
        """Return ``node_states`` of several runs, by run key."""
        keys = sorted(set(run_keys))
        if not keys:
            return {}
        with self._statement() as connection:
            nodes = connection.execute(_WAITING_NODES, {"run_keys": keys}).all()
        waits = self._waits(keys) if any(node.admission == "waits" for node in nodes) else {}
        found: dict[str, dict[int, NodeState]] = {}
        for node in nodes:
            found.setdefault(node.run_key, {})[node.idx] = _state(node, waits)
        return found

    def _waits(self, run_keys: list[str]) -> dict[tuple[str, int], list[NodeWait]]:
        """Return the waits of these runs for pools, by run key and node, in the order of the pools."""
        found: dict[tuple[str, int], list[NodeWait]] = {}
        with self._statement() as connection:
            for row in connection.execute(_WAITS, {"run_keys": run_keys}):
                wait = NodeWait((row.kind, row.name), row.ahead, row.limit, row.interval_s)
                found.setdefault((row.run_key, row.node), []).append(wait)
        return found

    def running_workers(self, now: datetime) -> dict[str, RunningWorker]:
        """Return the workers whose lease has not ended, by id."""
        w = t.workers.c
        query = select(w.worker_id, w.labels, w.state, w.lease_until, w.drained_at)
        with self._statement() as connection:
            found = {
                row.worker_id: (row.labels, believed_state(row.state, row.lease_until, row.drained_at, now))
                for row in connection.execute(query.where(w.lease_until > now))
            }
        return {
            worker_id: RunningWorker(labels, state == DRAINING)
            for worker_id, (labels, state) in found.items()
            if state in {LIVE, DRAINING}
        }


def _counted(
    connection: Connection, table: Table, since: Column[datetime], where: ColumnElement[bool], keys: list[Key]
) -> dict[Key, tuple[int, tuple[PoolUserRow, ...]]]:
    """Return, by pool, how many steps hold or await it (the rows of ``table``), and the first few of them."""
    c = table.c
    pool = (c.kind, c.name)
    until = c.until_at if "until_at" in c else since
    order = (c.entry_order if "entry_order" in c else since, c.run_key, c.node)
    ranked = (
        select(
            *pool,
            c.run_key,
            c.node,
            since.label("since"),
            until.label("until"),
            func.row_number().over(partition_by=pool, order_by=order).label("place"),
            func.count().over(partition_by=pool).label("total"),
        )
        .where(where, tuple_(*pool).in_(keys))
        .subquery()
    )
    r, n = t.dag_runs.c, t.nodes.c
    # Looked up for each of the few rows: for a join, Postgres expects many, and reads the runs of the whole history.
    name, run_id = (
        select(column).where(r.run_key == ranked.c.run_key).scalar_subquery().label(column.name)
        for column in (r.dag_name, r.dag_run_id)
    )
    step = select(n.name).where(n.run_key == ranked.c.run_key, n.idx == ranked.c.node).scalar_subquery().label("step")
    query = select(ranked, name, run_id, step).where(ranked.c.place <= _NAMED).order_by(ranked.c.place)
    found: dict[Key, tuple[int, tuple[PoolUserRow, ...]]] = {}
    for row in connection.execute(query):
        timed = "until_at" in c
        user = PoolUserRow(
            row.dag_name or "", row.dag_run_id or "", row.step or "", row.since, row.until if timed else None
        )
        _, users = found.get((row.kind, row.name), (0, ()))
        found[row.kind, row.name] = (row.total, (*users, user))
    return found
