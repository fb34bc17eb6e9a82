"""Reads and writes of runs and their nodes in a transaction."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, delete, func, select, text, tuple_, union_all, update

from shared.errors import StaleVersion
from shared.store import tables as t
from shared.store.engine import for_update, is_postgres
from shared.store.functions import transaction_number
from shared.store.queries.run_totals import save_changes
from shared.store.queries.runs import BY_DAG, QUEUED, REMOVED, RUNNING, newest_key
from shared.store.sqlite_driver import execute_on_sqlite
from shared.store.writes.base import FoundRow, NewRow, Writer
from shared.store.writes.bulk import Changes, Locks, Part, Rows, write

__all__ = ["RunWrites"]

# Built once, because almost every transaction uses these statements.
_RUNS = (
    select(t.dag_runs).where(t.dag_runs.c.run_key.in_(bindparam("keys", expanding=True))).order_by(t.dag_runs.c.run_key)
)
_LOCK_RUNS = for_update(_RUNS)
_LOCK_FREE_RUNS = for_update(_RUNS, nowait=True)
_LOCK_VERSIONS = for_update(_RUNS.with_only_columns(t.dag_runs.c.run_key, t.dag_runs.c.version))
_NODES_OF = (
    select(t.nodes)
    .where(t.nodes.c.run_key.in_(bindparam("keys", expanding=True)))
    .order_by(t.nodes.c.run_key, t.nodes.c.idx)
)
_KEYS_OF = select(t.dag_runs.c.dag_name, t.dag_runs.c.dag_run_id, t.dag_runs.c.run_key).where(
    tuple_(t.dag_runs.c.dag_name, t.dag_runs.c.dag_run_id).in_(bindparam("names", expanding=True)),
    t.dag_runs.c.root_key.is_(None),
)
_NEWEST_KEY = select(newest_key(bindparam("dag_name")))
_NUMBER = transaction_number()
_WITHOUT_CASCADE = (t.attempts, t.executions, t.log_chunks)
"""Tables whose rows the database does not delete together with their run."""
_SINGLETONS = 0x7369_6E67
"""The first key of the advisory lock of a DAG's singleton starts: "sing" in ASCII."""
_LOCK_SINGLETONS = text(f"SELECT pg_advisory_xact_lock({_SINGLETONS}, hashtext(:dag_name))")
_COUNT_UP = "UPDATE counters SET value = value + 1"


class RunWrites(Writer):
    """Reads and writes of runs with their nodes, transitions, attempts and logs."""

    def lock(self, keys: Sequence[str], *, wait: bool = True) -> list[FoundRow]:
        """Return and lock the runs with these keys, ordered by key.

        Raises ``RowsLocked`` if another transaction keeps one locked: at once, or if ``wait`` after the time limit.
        """
        return self._rows(_LOCK_RUNS if wait else _LOCK_FREE_RUNS, keys=keys)

    def lock_versions(self, keys: Sequence[str]) -> dict[str, int]:
        """Lock the runs with these keys, in their order, and return their versions.

        Raises ``RowsLocked`` if another transaction keeps one locked until the time limit.
        """
        return {row["run_key"]: row["version"] for row in self._rows(_LOCK_VERSIONS, keys=keys)}

    def nodes(self, keys: Sequence[str]) -> list[FoundRow]:
        """Return the nodes of these runs, ordered by run key and index."""
        return self._rows(_NODES_OF, keys=keys)

    def keys(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the keys of root runs by ``(dag_name, dag_run_id)``; names that do not exist are left out."""
        if not names:
            return {}
        rows = self._connection.execute(_KEYS_OF, {"names": list(names)})
        return {(row.dag_name, row.dag_run_id): row.run_key for row in rows}

    def names(self, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return ``(dag_name, dag_run_id)`` of these runs, by key."""
        if not keys:
            return {}
        runs = t.dag_runs.c
        rows = self._connection.execute(
            select(runs.run_key, runs.dag_name, runs.dag_run_id).where(runs.run_key.in_(keys))
        )
        return {row.run_key: (row.dag_name, row.dag_run_id) for row in rows}

    def newest_key(self, dag_name: str) -> str | None:
        """Return the key of a DAG's newest root run, or ``None`` if it has no runs."""
        found: str | None = self._connection.execute(_NEWEST_KEY, {"dag_name": dag_name}).scalar()
        return found

    def newest(self, file_names: Sequence[str]) -> dict[str, FoundRow]:
        """Return the newest root run of each of these DAGs, by DAG name."""
        wanted = select(t.dags.c.dag_name).where(t.dags.c.file_name.in_(file_names)).distinct().subquery()
        r = t.dag_runs.c
        query = select(r.dag_name, r.dag_run_id, r.status, r.created_at, r.queued_at, r.started_at, r.scheduled_at)
        query = query.where(r.run_key.in_(select(newest_key(wanted.c.dag_name)).select_from(wanted)))
        return {row["dag_name"]: row for row in self._rows(query)}

    def running(self, dag_names: Sequence[str]) -> dict[str, list[str]]:
        """Return the keys of the running root runs of these DAGs, by DAG name, oldest first."""
        r = t.dag_runs.c
        query = select(r.dag_name, r.run_key).where(r.status == RUNNING, BY_DAG.in_(dag_names), r.root_key.is_(None))
        found: dict[str, list[str]] = {}
        for name, key in self._connection.execute(query.order_by(r.created_at, r.run_key)):
            found.setdefault(name, []).append(key)
        return found

    def lock_singletons(self, dag_name: str) -> None:
        """Lock the singleton starts of a DAG until the transaction ends, so that no other one counts its runs too."""
        if is_postgres(self._connection):
            self._connection.execute(_LOCK_SINGLETONS, {"dag_name": dag_name})

    def count_active(self, dag_name: str) -> dict[str, int]:
        """Return the number of ``running`` and of ``queued`` runs of a DAG, by status; zeros are left out."""
        status = t.dag_runs.c.status
        # One part for each, because each has an index of its own: for both in one condition, Postgres reads all runs.
        ours = BY_DAG == dag_name  # noqa: SIM300 - a column expression
        counts = (
            select(status, func.count()).where(ours, status == active).group_by(status) for active in (RUNNING, QUEUED)
        )
        return dict(self._connection.execute(union_all(*counts)).all())

    def save(
        self,
        rows: Sequence[NewRow],
        loaded_versions: Mapping[str, int],
        *before: Part,
        unlocked: Collection[str] = (),
    ) -> None:
        """Write ``before``, then the changed runs, if each still has its version in ``loaded_versions``.

        ``rows`` hold ``run_key`` and the columns that may change. ``unlocked``: the keys of those runs that this
        transaction has not locked; they are locked first, as everybody locks a run before its other rows.

        Raises:
            AlreadyExists: a row of ``before`` has a key that exists.
            StaleVersion: another transaction has changed one of the runs; the caller must roll back.
        """
        guarded = [{**row, "loaded_version": loaded_versions[row["run_key"]]} for row in rows]
        runs = Changes(t.dag_runs, guarded, {"run_key": "run_key", "loaded_version": "version"})
        locks = Locks(t.dag_runs.c.run_key, sorted(unlocked))
        if (saved := write(self._connection, *before, runs, locks=locks)) != len(rows):
            changed = len(rows) - saved
            raise StaleVersion(f"another transaction changed {changed} of these {len(rows)} runs since they were read")

    def numbered(self, transitions: Sequence[NewRow]) -> Rows:
        """Return transitions to insert, with their places ``(txid, pos)`` in the stream of all transitions.

        Call it at most once in a transaction, because ``pos`` starts at 0.
        """
        if transitions and not is_postgres(self._connection):
            # SQLite has one writer at a time, so a counter is as good as Postgres' transaction number.
            execute_on_sqlite(self._connection, _COUNT_UP)
        placed = [{**row, "pos": pos} for pos, row in enumerate(transitions)]
        return Rows(t.transitions, placed, computed={"txid": _NUMBER})

    def add_log_chunks(self, chunks: Sequence[NewRow]) -> None:
        """Store log chunks; skips those that are stored already, and those of runs that are not there (any more).

        A log whose run was removed is never read, and never deleted.
        """
        runs = self.names(sorted({chunk["run_key"] for chunk in chunks}))
        self._insert_new(t.log_chunks, [chunk for chunk in chunks if chunk["run_key"] in runs])

    def chunks_cut(self, tokens: Collection[str], seqs: Collection[int]) -> dict[tuple[str, str, int], int]:
        """Return how many bytes were dropped from each stored chunk of these attempts with one of these numbers.

        By token, stream and number of the chunk.
        """
        c = t.log_chunks.c
        query = select(c.token, c.stream, c.seq, c.dropped).where(c.token.in_(sorted(tokens)), c.seq.in_(sorted(seqs)))
        return {(row.token, row.stream, row.seq): row.dropped for row in self._connection.execute(query)}

    def log_bytes(self, tokens: Sequence[str]) -> Mapping[str, Counter[str]]:
        """Return how many bytes of each stream of these attempts' logs have arrived."""
        c = t.log_chunks.c
        query = (
            select(c.token, c.stream, func.sum(func.length(c.data) + c.dropped).label("size"))
            .where(c.token.in_(tokens))
            .group_by(c.token, c.stream)
        )
        stored: dict[str, Counter[str]] = {token: Counter() for token in tokens}
        for row in self._connection.execute(query):
            stored[row.token][row.stream] = int(row.size)
        return stored

    def delete(self, keys: Sequence[str]) -> None:
        """Delete runs and all their rows in other tables. Their last changes stay for those who count them."""
        if keys:
            self._connection.execute(save_changes(self._connection, keys))
            for table in _WITHOUT_CASCADE:
                self._connection.execute(delete(table).where(table.c.run_key.in_(keys)))
            self._connection.execute(delete(t.dag_runs).where(t.dag_runs.c.run_key.in_(keys)))

    def set_aside(self, keys: Sequence[str]) -> None:
        """Make root runs ones that are found by no name and in no list, as if they had been deleted."""
        if keys:
            c = t.dag_runs.c
            self._connection.execute(save_changes(self._connection, keys))
            # Whoever still knows such a run must read it again. Its id is free for another run of its DAG.
            changed = {"root_key": REMOVED, "dag_run_id": c.run_key, "version": c.version + 1}
            self._connection.execute(update(t.dag_runs).where(c.run_key.in_(keys)).values(changed))
