"""Reads and writes of scheduler instances in a transaction."""

from datetime import datetime

from sqlalchemy import delete, select

from shared.store import tables as t
from shared.store.queries.schedulers import IS_SCHEDULER
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["ServiceWrites"]

_SCHEDULERS = select(t.services).where(IS_SCHEDULER)


class ServiceWrites(Writer):
    """Reads and writes of the instances that send heartbeats."""

    def put(self, row: NewRow) -> None:
        """Record an instance, or renew its heartbeat."""
        self._put(t.services, [row], ["heartbeat_at", "started_at", "reports_until", "session_since"])

    def schedulers(self) -> list[FoundRow]:
        """Return all schedulers that are not forgotten."""
        return self._rows(_SCHEDULERS)

    def remove_scheduler(self, instance_id: str) -> None:
        """Delete a scheduler that stops."""
        self._connection.execute(delete(t.services).where(IS_SCHEDULER, t.services.c.instance_id == instance_id))

    def forget(self, before: datetime) -> None:
        """Delete instances whose last heartbeat was before ``before``."""
        self._connection.execute(delete(t.services).where(t.services.c.heartbeat_at < before))

    def first_scheduler(self, since: datetime) -> str | None:
        """Return the smallest id of the schedulers whose last heartbeat was at ``since`` or later."""
        c = t.services.c
        query = select(c.instance_id).where(IS_SCHEDULER, c.heartbeat_at >= since)
        return min(self._connection.execute(query).scalars(), default=None)

    def scheduler_versions(self, since: datetime) -> set[str]:
        """Return the program versions of schedulers whose last heartbeat was at ``since`` or later."""
        c = t.services.c
        query = select(c.version).where(IS_SCHEDULER, c.heartbeat_at >= since)
        return set(self._connection.execute(query).scalars())
