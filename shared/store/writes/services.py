"""Reads and writes of scheduler instances in a transaction."""

from datetime import datetime

from sqlalchemy import delete, select

from shared.store import tables as t
from shared.store.writes.base import NewRow, Writer

__all__ = ["ServiceWrites"]


class ServiceWrites(Writer):
    """Reads and writes of the instances that send heartbeats."""

    __slots__ = ()

    def put(self, row: NewRow) -> None:
        """Record an instance, or renew its heartbeat."""
        self._put(t.services, [row], ["heartbeat_at", "started_at"])

    def forget(self, before: datetime) -> None:
        """Delete instances whose last heartbeat was before ``before``."""
        self._connection.execute(delete(t.services).where(t.services.c.heartbeat_at < before))

    def first_scheduler(self, since: datetime) -> str | None:
        """Return the smallest id of the schedulers whose last heartbeat was at ``since`` or later."""
        c = t.services.c
        query = select(c.instance_id).where(c.kind == "scheduler", c.heartbeat_at >= since)
        return min(self._connection.execute(query).scalars(), default=None)

    def marks(self, but: str, since: datetime) -> list[datetime]:
        """Return the last heartbeats of the schedulers other than ``but``, if they were at ``since`` or later."""
        c = t.services.c
        query = select(c.heartbeat_at).where(c.kind == "scheduler", c.instance_id != but, c.heartbeat_at >= since)
        return list(self._connection.execute(query).scalars())

    def scheduler_versions(self, since: datetime) -> set[str]:
        """Return the program versions of schedulers whose last heartbeat was at ``since`` or later."""
        c = t.services.c
        query = select(c.version).where(c.kind == "scheduler", c.heartbeat_at >= since)
        return set(self._connection.execute(query).scalars())
