"""Reads and writes of workers, their leases and their open attempts in a transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, delete, exists, func, or_, select, tuple_, update

from shared.contracts.attempt_tokens import chain_of, run_of
from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.queries.workers import LOST, lease_ended
from shared.store.writes.base import FoundRow, NewRow, Writer
from shared.store.writes.bulk import Rows, write

__all__ = ["LeaseWrites"]

_RUNNING, _DISPATCHED = "running", "dispatched"
_DRAIN_COLUMNS = ("drained_at", "drained_by", "drain_reason")
_WORKER_COLUMNS = tuple(c.name for c in t.workers.c if c.name not in {"worker_id", *_DRAIN_COLUMNS})


class LeaseWrites(Writer):
    """Reads and writes of workers and of their open attempts."""

    __slots__ = ()

    def workers(self, ids: Sequence[str] | None = None) -> list[FoundRow]:
        """Return the workers with these ids, or all workers. Locks nothing."""
        query = select(t.workers)
        return self._rows(query if ids is None else query.where(t.workers.c.worker_id.in_(ids)))

    def put_workers(self, rows: Sequence[NewRow]) -> None:
        """Insert workers, or replace what heartbeats say of known ones, unless a later heartbeat is recorded already.

        Whether a worker is drained stays as it is.
        """
        write(self._connection, Rows(t.workers, rows, _WORKER_COLUMNS, newest_by="heartbeat_at"))

    def forget_workers(self, before: datetime) -> int:
        """Delete workers whose lease ended before ``before`` and that hold no open attempt; return how many.

        A worker that comes back is inserted anew by its next heartbeat.
        """
        w, n = t.workers.c, t.nodes.c
        holds = exists().where(n.token_worker == w.worker_id, n.token.is_not(None))
        return self._connection.execute(delete(t.workers).where(w.lease_until < before, ~holds)).rowcount

    def lock_workers(self, ids: Sequence[str]) -> list[FoundRow]:
        """Return and lock these workers, ordered by id."""
        c = t.workers.c
        query = (
            select(c.worker_id, c.incarnation, c.state, c.drained_at).where(c.worker_id.in_(ids)).order_by(c.worker_id)
        )
        return self._rows(for_update(query))

    def drain_worker(self, worker_id: str, at: datetime | None, by: str | None, reason: str | None) -> None:
        """Record that a worker is drained, or with ``None`` everywhere that it no longer is."""
        values = dict(zip(_DRAIN_COLUMNS, (at, by, reason), strict=True))
        self._connection.execute(update(t.workers).where(t.workers.c.worker_id == worker_id).values(values))

    def drained_workers(self, ids: Sequence[str]) -> set[str]:
        """Return those of these workers that are drained."""
        c = t.workers.c
        query = select(c.worker_id).where(c.worker_id.in_(ids), c.drained_at.is_not(None))
        return set(self._connection.execute(query).scalars())

    def doubtful_attempts(self, now: datetime) -> list[FoundRow]:
        """Return open attempts whose worker may be lost, with the worker's ``incarnation`` and ``lease_until``.

        A worker may be lost if its lease ended, if a newer incarnation of it has started since the attempt started,
        or if it is not in the table.
        """
        c, w = t.nodes.c, t.workers.c
        query = (
            select(
                c.run_key,
                c.idx,
                c.token,
                c.token_state,
                c.token_worker,
                c.token_incarnation,
                w.incarnation,
                w.lease_until,
            )
            .select_from(t.nodes.outerjoin(t.workers, c.token_worker == w.worker_id))
            .where(
                c.token.is_not(None),
                c.token_worker.is_not(None),
                or_(
                    w.worker_id.is_(None),
                    w.lease_until < now,
                    and_(c.token_state == _RUNNING, c.token_incarnation != w.incarnation),
                ),
            )
        )
        return self._rows(query)

    def overdue_origins(self, before: datetime) -> list[FoundRow]:
        """Return the distinct origins of overdue tasks, i.e. tasks sent before ``before`` that have not started.

        An origin tells on which broker queue a task may wait: on the queue of the worker ``token_worker`` or, if
        ``token_worker`` is ``None``, on the queue for the worker selector of the DAG (``spec_hash``, ``file_name``).
        """
        c, r = t.nodes.c, t.dag_runs.c
        overdue = c.token.is_not(None), c.token_state == _DISPATCHED, c.dispatched_at < before
        query = select(c.token_worker, r.spec_hash, r.file_name).join(t.dag_runs, c.run_key == r.run_key)
        return self._rows(query.where(*overdue).distinct())

    def overdue_attempts(self, origins: Sequence[NewRow], before: datetime) -> list[FoundRow]:
        """Return the attempts of overdue tasks with these origins (rows of ``overdue_origins``)."""
        c, r = t.nodes.c, t.dag_runs.c
        workers = [row["token_worker"] for row in origins if row["token_worker"] is not None]
        dags = [(row["spec_hash"], row["file_name"] or "") for row in origins if row["token_worker"] is None]
        by_dag = tuple_(r.spec_hash, func.coalesce(r.file_name, "")).in_(dags)
        query = (
            select(c.run_key, c.idx, c.token)
            .join(t.dag_runs, c.run_key == r.run_key)
            .where(c.token.is_not(None), c.token_state == _DISPATCHED, c.dispatched_at < before)
            .where(or_(c.token_worker.in_(workers), and_(c.token_worker.is_(None), by_dag)))
        )
        return self._rows(query)

    def open_attempts(self, worker_ids: Sequence[str]) -> list[FoundRow]:
        """Return the open attempts of these workers, with the ``stop_reason`` of their runs."""
        c, r = t.nodes.c, t.dag_runs.c
        query = (
            select(
                c.run_key,
                c.token,
                c.token_worker,
                c.token_incarnation,
                c.token_state,
                c.kind,
                c.idx,
                r.stop_reason,
                r.spec_hash,
                r.file_name,
            )
            .select_from(t.nodes.join(t.dag_runs, c.run_key == r.run_key))
            .where(c.token.is_not(None), c.token_worker.in_(worker_ids))
        )
        return self._rows(query)

    def open_chains(self, tokens: Sequence[str]) -> set[str]:
        """Return the chains of all open attempts of the runs that ``tokens`` are about; see ``chain_of``."""
        c = t.nodes.c
        query = select(c.token).where(c.run_key.in_({run_of(token) for token in tokens}), c.token.is_not(None))
        return {chain_of(token) for token in self._connection.execute(query).scalars()}

    def ended(self, now: datetime) -> list[str]:
        """Return the ids of the workers whose lease has ended and that are not marked as lost."""
        return list(self._connection.execute(select(t.workers.c.worker_id).where(lease_ended(now))).scalars())

    def expire_workers(self, ids: Sequence[str], now: datetime) -> list[str]:
        """Mark those of these workers whose lease has ended as lost; return their ids."""
        c = t.workers.c
        done = self._connection.execute(
            update(t.workers).where(c.worker_id.in_(ids), lease_ended(now)).values(state=LOST).returning(c.worker_id)
        )
        return list(done.scalars())
