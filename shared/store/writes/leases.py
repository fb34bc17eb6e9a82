"""Reads and writes of workers, their leases and their open attempts in a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BindParameter, and_, bindparam, delete, exists, func, or_, select, tuple_, update

from shared.contracts.attempt_tokens import chain_of, run_of
from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.queries.workers import LOST, lease_ended
from shared.store.writes.base import FoundRow, NewRow, Writer
from shared.store.writes.bulk import Rows, write

__all__ = ["LeaseWrites", "Overview"]

_RUNNING, _DISPATCHED = "running", "dispatched"
_DRAIN_COLUMNS = ("drained_at", "drained_by", "drain_reason")
_WORKER_COLUMNS = tuple(c.name for c in t.workers.c if c.name not in {"worker_id", *_DRAIN_COLUMNS})

_n, _r, _w = t.nodes.c, t.dag_runs.c, t.workers.c
_IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)
# Each pass over the leases executes these. To build such a statement takes longer than to execute it.
_LOCK_WORKERS = for_update(
    select(_w.worker_id, _w.incarnation, _w.state, _w.drained_at).where(_w.worker_id.in_(_IDS)).order_by(_w.worker_id)
)
_LOCK_AHEAD = for_update(select(_w.worker_id).where(_w.heartbeat_at > bindparam("soon")).order_by(_w.worker_id))
_DRAINED_WORKERS = select(_w.worker_id).where(_w.worker_id.in_(_IDS), _w.drained_at.is_not(None))
_ENDED = select(_w.worker_id).where(lease_ended(bindparam("now")))
_OVERVIEW = select(
    exists(select(_n.run_key).where(_n.token.is_not(None))).label("open"),
    exists(_ENDED).label("ended"),
    exists(select(_w.worker_id).where(_w.heartbeat_at > bindparam("soon"))).label("ahead"),
)
_DOUBTFUL_ATTEMPTS = (
    select(
        _n.run_key,
        _n.idx,
        _n.token,
        _n.token_state,
        _n.token_worker,
        _n.token_incarnation,
        _w.incarnation,
        _w.lease_until,
    )
    .select_from(t.nodes.outerjoin(t.workers, _n.token_worker == _w.worker_id))
    .where(
        _n.token.is_not(None),
        _n.token_worker.is_not(None),
        or_(
            _w.worker_id.is_(None),
            _w.lease_until < bindparam("now"),
            and_(_n.token_state == _RUNNING, _n.token_incarnation != _w.incarnation),
        ),
    )
)
_OVERDUE_ORIGINS = (
    select(_n.token_worker, _r.spec_hash, _r.file_name)
    .join(t.dag_runs, _n.run_key == _r.run_key)
    .where(_n.token.is_not(None), _n.token_state == _DISPATCHED, _n.dispatched_at < bindparam("before"))
    .distinct()
)
_OPEN_ATTEMPTS = (
    select(
        _n.run_key,
        _n.token,
        _n.token_worker,
        _n.token_incarnation,
        _n.token_state,
        _n.kind,
        _n.idx,
        _r.stop_reason,
        _r.spec_hash,
        _r.file_name,
    )
    .select_from(t.nodes.join(t.dag_runs, _n.run_key == _r.run_key))
    .where(_n.token.is_not(None), _n.token_worker.in_(_IDS))
)


@dataclass(frozen=True, slots=True)
class Overview:
    """Whether any attempt is open, and whether any lease has ended of a worker that is not marked as lost."""

    open: bool
    ended: bool
    ahead: bool
    """Whether any heartbeat was recorded by a clock that has been set back since."""


class LeaseWrites(Writer):
    """Reads and writes of workers and of their open attempts."""

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
        return self._rows(_LOCK_WORKERS, ids=list(ids))

    def drain_worker(self, worker_id: str, at: datetime | None, by: str | None, reason: str | None) -> None:
        """Record that a worker is drained, or with ``None`` everywhere that it no longer is."""
        values = dict(zip(_DRAIN_COLUMNS, (at, by, reason), strict=True))
        self._connection.execute(update(t.workers).where(t.workers.c.worker_id == worker_id).values(values))

    def drained_workers(self, ids: Sequence[str]) -> set[str]:
        """Return those of these workers that are drained."""
        return set(self._connection.execute(_DRAINED_WORKERS, {"ids": list(ids)}).scalars())

    def doubtful_attempts(self, now: datetime) -> list[FoundRow]:
        """Return open attempts whose worker may be lost, with the worker's ``incarnation`` and ``lease_until``.

        A worker may be lost if its lease ended, if a newer incarnation of it has started since the attempt started,
        or if it is not in the table.
        """
        return self._rows(_DOUBTFUL_ATTEMPTS, now=now)

    def overdue_origins(self, before: datetime) -> list[FoundRow]:
        """Return the distinct origins of overdue tasks, i.e. tasks sent before ``before`` that have not started.

        An origin tells on which broker queue a task may wait: on the queue of the worker ``token_worker`` or, if
        ``token_worker`` is ``None``, on the queue for the worker selector of the DAG (``spec_hash``, ``file_name``).
        """
        return self._rows(_OVERDUE_ORIGINS, before=before)

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
        return self._rows(_OPEN_ATTEMPTS, ids=list(worker_ids))

    def open_chains(self, tokens: Sequence[str]) -> set[str]:
        """Return the chains of all open attempts of the runs that ``tokens`` are about; see ``chain_of``."""
        c = t.nodes.c
        query = select(c.token).where(c.run_key.in_({run_of(token) for token in tokens}), c.token.is_not(None))
        return {chain_of(token) for token in self._connection.execute(query).scalars()}

    def overview(self, now: datetime, lease: timedelta) -> Overview:
        """Return whether there is anything that ``doubtful_attempts``, ``overdue_origins`` and ``ended`` may find.

        A heartbeat that is more than a ``lease`` ahead of ``now`` was recorded by a clock that has been set back since.
        """
        return Overview(*self._connection.execute(_OVERVIEW, {"now": now, "soon": now + lease}).one())

    def set_back(self, now: datetime, lease: timedelta) -> list[str]:
        """Let heartbeats that are more than a ``lease`` ahead of ``now`` count as of ``now``; return the workers.

        Else no later heartbeat would replace them, and no lease would end, until the clock is there again.
        """
        ids = self._connection.execute(_LOCK_AHEAD, {"soon": now + lease}).scalars().all()
        if ids:
            changed = update(t.workers).where(_w.worker_id.in_(ids))
            self._connection.execute(changed.values(heartbeat_at=now, lease_until=now + lease))
        return list(ids)

    def ended(self, now: datetime) -> list[str]:
        """Return the ids of the workers whose lease has ended and that are not marked as lost."""
        return list(self._connection.execute(_ENDED, {"now": now}).scalars())

    def expire_workers(self, ids: Sequence[str], now: datetime) -> list[str]:
        """Mark those of these workers whose lease has ended as lost; return their ids."""
        c = t.workers.c
        done = self._connection.execute(
            update(t.workers).where(c.worker_id.in_(ids), lease_ended(now)).values(state=LOST).returning(c.worker_id)
        )
        return list(done.scalars())
