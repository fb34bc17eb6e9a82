"""One statement that tells which loops of a scheduler have something to do."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, exists, func, select

from shared.store import tables as t
from shared.store.queries.runs import QUEUED
from shared.store.writes.base import Writer
from shared.store.writes.children import CALLERS_WAITING

__all__ = ["PendingWork", "PendingWorkReads"]


@dataclass(frozen=True, slots=True)
class PendingWork:
    """Which kinds of work wait in the database, whoever left them. ``timer_due_at``: of the next timer, if any."""

    timer_due_at: datetime | None
    outbox: bool
    parents: bool
    audit: bool
    pools: bool
    queues: bool


_PENDING = select(
    select(func.min(t.timers.c.due_at)).scalar_subquery().label("timer_due_at"),
    exists(select(t.outbox.c.id).where(t.outbox.c.created_at < bindparam("before"))).label("outbox"),
    CALLERS_WAITING.exists().label("parents"),
    exists(select(t.audit_unlinked.c.entry_id)).label("audit"),
    exists(select(t.pool_waits.c.name)).label("pools"),
    exists(select(t.dag_runs.c.run_key).where(t.dag_runs.c.status == QUEUED)).label("queues"),
)


class PendingWorkReads(Writer):
    """The read of ``PendingWork``."""

    def find(self, outbox_before: datetime) -> PendingWork:
        """Return what waits. ``outbox_before``: older messages of the outbox are overdue."""
        return PendingWork(*self._connection.execute(_PENDING, {"before": outbox_before}).one())
