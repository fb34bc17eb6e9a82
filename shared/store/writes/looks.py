"""One statement that tells whether there is something to do for the loops of a scheduler."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, exists, func, select

from shared.store import tables as t
from shared.store.queries.runs import QUEUED
from shared.store.writes.base import Writer
from shared.store.writes.children import CALLERS_WAITING

__all__ = ["LookReads", "Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits, of everything in the database. ``timer_due_at``: when the next timer is due, if there is one."""

    timer_due_at: datetime | None
    outbox: bool
    parents: bool
    audit: bool
    pools: bool
    queues: bool


_WAITING = select(
    select(func.min(t.timers.c.due_at)).scalar_subquery().label("timer_due_at"),
    exists(select(t.outbox.c.id).where(t.outbox.c.created_at < bindparam("before"))).label("outbox"),
    CALLERS_WAITING.exists().label("parents"),
    exists(select(t.audit_unlinked.c.entry_id)).label("audit"),
    exists(select(t.pool_waits.c.name)).label("pools"),
    exists(select(t.dag_runs.c.run_key).where(t.dag_runs.c.status == QUEUED)).label("queues"),
)


class LookReads(Writer):
    """Reads for ``Looks`` of the scheduler."""

    __slots__ = ()

    def waiting(self, outbox_before: datetime) -> Waiting:
        """Return what waits. ``outbox_before``: older messages of the outbox are overdue."""
        return Waiting(*self._connection.execute(_WAITING, {"before": outbox_before}).one())
