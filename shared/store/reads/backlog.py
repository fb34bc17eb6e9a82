"""Counts of waiting work for metrics: queued runs, open attempts, outbox, overdue timers. Uses indexed queries.

Also the size of the database.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select

from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.queries.schedulers import IS_SCHEDULER
from shared.store.queries.workers import LIVE, believed_state
from shared.store.reads.base import Reader

__all__ = ["Backlog", "BacklogReads", "OpenAttempts"]

_SERVICE_ALIVE = timedelta(seconds=30)
_n = t.nodes.c
_HELD = (
    select(_n.token_state, func.count(), _n.token_worker)
    .where(_n.token.is_not(None), _n.token_worker.is_not(None))
    .group_by(_n.token_state, _n.token_worker)
)
_WAITING = (
    select(_n.token_state, func.count(), _n.token_worker, t.dag_runs.c.spec_hash)
    .join(t.dag_runs, t.dag_runs.c.run_key == _n.run_key)
    .where(_n.token.is_not(None), _n.token_worker.is_(None))
    .group_by(_n.token_state, _n.token_worker, t.dag_runs.c.spec_hash)
)


@dataclass(frozen=True, slots=True)
class OpenAttempts:
    """How many attempts are in the state ``dispatched`` (sent, not started) or ``running``.

    A worker holds them, or they wait for any worker that satisfies the selector of a spec (``spec_hash``).
    """

    state: str
    count: int
    worker_id: str | None = None
    spec_hash: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog of the whole system; every scheduler reads the same. Ages are in seconds, 0 if nothing waits."""

    outbox_rows: int = 0
    outbox_age_s: float = 0
    queued_runs: int = 0
    oldest_queued_s: float = 0
    running_runs: int = 0
    open_attempts: tuple[OpenAttempts, ...] = ()
    workers: dict[str, int] = field(default_factory=dict)
    """By state. A worker whose lease has ended counts as lost."""
    worker_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """By worker id, also of workers that are gone."""
    slots: int = 0
    """The slots of all workers that take work."""
    schedulers: int = 0
    timers_overdue: int = 0


class BacklogReads(Reader):
    """Reads the backlog and the size of the database."""

    def database_bytes(self) -> int:
        """Return the size of the database on disk, with the room in its files that is free for new rows."""
        with self._statement(of_server=True) as connection:
            size = (
                select(func.pg_database_size(func.current_database()))
                if is_postgres(connection)
                else select(literal_column("page_count * page_size")).select_from(
                    func.pragma_page_count(), func.pragma_page_size()
                )
            )
            return int(connection.execute(size).scalar_one())

    def backlog(self, now: datetime) -> Backlog:
        """Return the counts at ``now``."""
        o, r, w, s = t.outbox.c, t.dag_runs.c, t.workers.c, t.services.c
        with self._snapshot() as connection:

            def counted(column: ColumnElement[Any], *where: ColumnElement[bool]) -> tuple[int, Any]:
                row = connection.execute(select(func.count(), func.min(column)).where(*where)).one()
                return row[0], row[1]

            outbox, oldest_owed = counted(o.created_at)
            queued, oldest_queued = counted(r.queued_at, r.status == "queued")
            running, _ = counted(r.run_key, r.status == "running")
            open_attempts = tuple(
                OpenAttempts(*row) for query in (_HELD, _WAITING) for row in connection.execute(query)
            )
            workers: dict[str, int] = {}
            slots = 0
            labels: dict[str, dict[str, str]] = {}
            for state, lease_until, drained_at, offered, worker_id, labelled in connection.execute(
                select(w.state, w.lease_until, w.drained_at, w.slots, w.worker_id, w.labels)
            ):
                labels[worker_id] = labelled
                really = believed_state(state, lease_until, drained_at, now)
                workers[really] = workers.get(really, 0) + 1
                slots += offered if really == LIVE else 0
            alive, _ = counted(s.heartbeat_at, IS_SCHEDULER, s.heartbeat_at >= now - _SERVICE_ALIVE)
            overdue, _ = counted(t.timers.c.due_at, t.timers.c.due_at < now - timedelta(seconds=10))
        return Backlog(
            outbox_rows=outbox,
            outbox_age_s=_age(oldest_owed, now),
            queued_runs=queued,
            oldest_queued_s=_age(oldest_queued, now),
            running_runs=running,
            open_attempts=open_attempts,
            workers=workers,
            worker_labels=labels,
            slots=slots,
            schedulers=alive,
            timers_overdue=overdue,
        )


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0
