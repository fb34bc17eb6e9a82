"""The scheduler's transaction: find and lock, then write whole batches at once.

It knows rows, not rules. Runs are always locked in the order of their keys, so two schedulers that
want the same runs wait for each other instead of deadlocking. Everything a caller writes becomes
visible together at commit, or not at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, and_, bindparam, delete, func, or_, select, tuple_, update

from shared.errors import StaleVersion
from shared.store import tables as t
from shared.store.engine import for_update, is_postgres, one_writer, store_errors, transaction_number
from shared.store.reads.queue_sharing import lenders
from shared.store.reads.runs import BY_DAG, QUEUED, RUNNING
from shared.store.writes.bulk import Changes, Rows, write
from shared.store.writes.children import Family
from shared.store.writes.commands import Commanded
from shared.store.writes.dags import Dags
from shared.store.writes.leases import Held

__all__ = ["Store", "Tx"]

Row = Mapping[str, Any]
Found = dict[str, Any]

_RUN_FIXED = frozenset(
    {
        "dag_name",
        "dag_run_id",
        "file_name",
        "root_key",
        "parent_key",
        "parent_node",
        "parent_params",
        "trace",
        "called_from",
        "spec_hash",
        "created_at",
    }
)
# What is asked in almost every transaction is put together once.
_LOCK_RUNS = for_update(
    select(t.dag_runs).where(t.dag_runs.c.run_key.in_(bindparam("keys", expanding=True))).order_by(t.dag_runs.c.run_key)
)
_NODES_OF = (
    select(t.nodes)
    .where(t.nodes.c.run_key.in_(bindparam("keys", expanding=True)))
    .order_by(t.nodes.c.run_key, t.nodes.c.idx)
)
_KEYS_OF = select(t.dag_runs.c.dag_name, t.dag_runs.c.dag_run_id, t.dag_runs.c.run_key).where(
    tuple_(t.dag_runs.c.dag_name, t.dag_runs.c.dag_run_id).in_(bindparam("names", expanding=True)),
    t.dag_runs.c.root_key.is_(None),
)
_NUMBER = transaction_number()
_COUNT_UP = update(t.counters).values(value=t.counters.c.value + 1)
_DELETE_TIMERS = delete(t.timers).where(t.timers.c.run_key.in_(bindparam("keys", expanding=True)))


class Store:
    """Where transactions come from."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._gate = one_writer(engine)

    @contextmanager
    def begin(self) -> Iterator["Tx"]:
        """Run the block in one transaction.

        Raises:
            StoreUnavailable, AlreadyExists, InvariantBroken: see ``store_errors``.
        """
        with store_errors(), self._gate, self.engine.begin() as connection:
            yield Tx(connection)


class Tx(Commanded, Dags, Family, Held):
    """One open transaction; of no use after its block."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    # -- runs ---------------------------------------------------------------------------------

    def lock_runs(self, keys: Sequence[str]) -> list[Found]:
        """Return and lock the runs with these keys, in the order of their keys."""
        return self._rows(_LOCK_RUNS, keys=keys)

    def keys_of(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the run keys of those ``(dag_name, dag_run_id)`` that exist; children have no name of their own."""
        if not names:
            return {}
        rows = self.connection.execute(_KEYS_OF, {"names": list(names)})
        return {(row.dag_name, row.dag_run_id): row.run_key for row in rows}

    def names_of(self, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return ``(dag_name, dag_run_id)`` of these runs by key."""
        if not keys:
            return {}
        runs = t.dag_runs.c
        rows = self.connection.execute(
            select(runs.run_key, runs.dag_name, runs.dag_run_id).where(runs.run_key.in_(keys))
        )
        return {row.run_key: (row.dag_name, row.dag_run_id) for row in rows}

    def latest_key(self, dag_name: str) -> str | None:
        """Return the key of the newest run of a dag."""
        runs = t.dag_runs.c
        query = (
            select(runs.run_key)
            .where(runs.dag_name == dag_name, runs.root_key.is_(None))
            .order_by(runs.created_at.desc(), runs.dag_run_id)
        )
        found: str | None = self.connection.execute(query.limit(1)).scalar()
        return found

    def count_active(self, dag_name: str) -> dict[str, int]:
        """Return how many runs of a dag are ``running`` and ``queued``."""
        runs = t.dag_runs.c
        query = (
            select(runs.status, func.count())
            .where(BY_DAG == dag_name, runs.status.in_([RUNNING, QUEUED]))  # noqa: SIM300 - a column expression
            .group_by(runs.status)
        )
        return dict(self.connection.execute(query).all())

    def nodes_of(self, keys: Sequence[str]) -> list[Found]:
        """Return the nodes of these runs in order."""
        return self._rows(_NODES_OF, keys=keys)

    def save_runs(self, rows: Sequence[Row], loaded_versions: Mapping[str, int], *besides: Rows | Changes) -> None:
        """Write changed runs back, each only if nobody did since it was read, and before them what goes with them.

        Raises:
            AlreadyExists: a key of what goes with them is taken.
            StaleVersion: somebody wrote a run: nothing of this transaction may be committed.
        """
        guarded = [
            {name: value for name, value in row.items() if name not in _RUN_FIXED}
            | {"loaded_version": loaded_versions[row["run_key"]]}
            for row in rows
        ]
        runs = Changes(t.dag_runs, guarded, {"run_key": "run_key", "loaded_version": "version"})
        if (saved := write(self.connection, *besides, runs)) != len(rows):
            raise StaleVersion(f"of {len(rows)} runs only {saved} are still at the version they were read at")

    def delete_runs(self, keys: Sequence[str]) -> None:
        """Remove runs with all that belongs to them."""
        if keys:
            for table in (t.attempts, t.log_chunks):
                self.connection.execute(delete(table).where(table.c.run_key.in_(keys)))
            self.connection.execute(delete(t.dag_runs).where(t.dag_runs.c.run_key.in_(keys)))

    # -- whole rows ---------------------------------------------------------------------------

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows. Raises ``AlreadyExists`` where a key is taken."""
        write(self.connection, Rows(table, rows))

    def insert_new(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows, leaving out those whose key is taken."""
        write(self.connection, Rows(table, rows, "leave"))

    def put(self, table: Table, rows: Sequence[Row], changed: Sequence[str]) -> None:
        """Insert rows, or set the ``changed`` columns of those that exist."""
        write(self.connection, Rows(table, rows, tuple(changed)))

    def numbered(self, transitions: Sequence[Row]) -> Rows:
        """Return transitions to insert; ``(txid, pos)`` becomes their place in the order of all. Call it once."""
        if transitions and not is_postgres(self.connection):
            # Writers come one after the other there, so a counter is as good as the database's own.
            self.connection.execute(_COUNT_UP)
        placed = [{**row, "pos": pos} for pos, row in enumerate(transitions)]
        return Rows(t.transitions, placed, computed={"txid": _NUMBER})

    # -- admission ----------------------------------------------------------------------------

    def lock_queue(self, name: str) -> Found | None:
        """Return and lock one queue: admission to it is serialised by this lock."""
        rows = self._rows(for_update(select(t.queues).where(t.queues.c.name == name)))
        return rows[0] if rows else None

    def queued(self, queue: str, limit: int) -> list[Found]:
        """Return the next queued runs of a queue: high priority first, then first in, first out."""
        runs = t.dag_runs.c
        query = select(t.dag_runs).where(runs.queue == queue, runs.status == QUEUED)
        return self._rows(query.order_by(runs.priority.desc(), runs.queued_at, runs.run_key).limit(limit))

    def queues_with_queued(self) -> list[str]:
        query = select(t.dag_runs.c.queue).where(t.dag_runs.c.status == QUEUED).distinct()
        return list(self.connection.execute(query).scalars())

    def places_taken(self, queue: str) -> int:
        """Count the running runs of a queue, without those that lend their place to one they called."""
        runs = t.dag_runs.c
        mine = (runs.queue == queue, runs.status == RUNNING, runs.run_key.not_in(lenders([queue])))
        return int(self.connection.execute(select(func.count()).select_from(t.dag_runs).where(*mine)).scalar_one())

    # -- timers -------------------------------------------------------------------------------

    def due_timers(self, now: datetime, limit: int) -> list[Found]:
        """Return timers that are due, the oldest first; not locked."""
        return self._rows(select(t.timers).where(t.timers.c.due_at <= now).order_by(t.timers.c.due_at).limit(limit))

    def timers_due(self, keys: Sequence[str], now: datetime) -> list[Found]:
        """Return the due timers of these runs, which must be locked: nobody else fires them then."""
        c = t.timers.c
        return self._rows(select(t.timers).where(c.run_key.in_(keys), c.due_at <= now))

    def next_timer(self) -> datetime | None:
        due: datetime | None = self.connection.execute(select(func.min(t.timers.c.due_at))).scalar()
        return due

    def delete_timers(self, timers: Sequence[tuple[str, int, str]]) -> None:
        if timers:
            c = t.timers.c
            query = delete(t.timers).where(
                c.run_key == bindparam("key"), c.node == bindparam("position"), c.kind == bindparam("what")
            )
            self.connection.execute(query, [{"key": key, "position": node, "what": kind} for key, node, kind in timers])

    def delete_timers_of(self, keys: Sequence[str]) -> None:
        if keys:
            self.connection.execute(_DELETE_TIMERS, {"keys": keys})

    # -- services -----------------------------------------------------------------------------

    def forget_services(self, before: datetime) -> None:
        self.connection.execute(delete(t.services).where(t.services.c.heartbeat_at < before))

    def living_schedulers(self, since: datetime) -> set[str]:
        """Return the versions of the schedulers heard of at ``since`` or later."""
        c = t.services.c
        query = select(c.version).where(c.kind == "scheduler", c.heartbeat_at >= since)
        return set(self.connection.execute(query).scalars())

    # -- outbox -----------------------------------------------------------------------------

    def stale_outbox(self, before: datetime, refused: Sequence[str], limit: int) -> list[Found]:
        """Return messages that should have been sent by now, and those ``refused``, locked against other sweepers."""
        c = t.outbox.c
        overdue = or_(c.created_at < before, c.id.in_(refused)) if refused else c.created_at < before
        query = select(t.outbox).where(overdue).order_by(c.id).limit(limit)
        return self._rows(for_update(query, skip_locked=True))

    def dispatched_again(self, tokens: Sequence[str], now: datetime) -> set[str]:
        """Set when these tasks left, and return which of them nobody is known to have started.

        Nodes somebody is deciding about keep their time: nobody waits for a lock here.
        """
        if not tokens:
            return set()
        c = t.nodes.c
        waiting = c.token.in_(tokens), c.token_state == "dispatched"
        found = set(self.connection.execute(select(c.token).where(*waiting)).scalars())
        rows = self._rows(for_update(select(c.run_key, c.idx).where(*waiting), skip_locked=True))
        if rows:
            node = and_(c.run_key == bindparam("key"), c.idx == bindparam("position"))
            self.connection.execute(
                update(t.nodes).where(node).values(dispatched_at=now),
                [{"key": row["run_key"], "position": row["idx"]} for row in rows],
            )
        return {str(token) for token in found}

    def delete_outbox(self, ids: Sequence[str]) -> None:
        if ids:
            self.connection.execute(delete(t.outbox).where(t.outbox.c.id.in_(ids)))

    def _rows(self, query: Any, **values: Sequence[Any]) -> list[Found]:
        found = self.connection.execute(query, values)
        names = tuple(found.keys())
        return [dict(zip(names, row, strict=True)) for row in found]
