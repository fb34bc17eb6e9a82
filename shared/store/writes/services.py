"""Instances of schedulers, as a transaction reads and writes them."""

from datetime import datetime

from sqlalchemy import delete, select

from shared.store import tables as t
from shared.store.writes.base import NewRow, Writer

__all__ = ["ServiceWrites"]


class ServiceWrites(Writer):
    """Instances that announce themselves."""

    __slots__ = ()

    def put(self, row: NewRow) -> None:
        """Announce an instance, or renew its announcement."""
        self._put(t.services, [row], ["heartbeat_at", "started_at"])

    def forget(self, before: datetime) -> None:
        """Remove instances whose last heartbeat was before that time."""
        self._connection.execute(delete(t.services).where(t.services.c.heartbeat_at < before))

    def scheduler_versions(self, since: datetime) -> set[str]:
        """Return the versions of the schedulers whose last heartbeat was at ``since`` or later."""
        c = t.services.c
        query = select(c.version).where(c.kind == "scheduler", c.heartbeat_at >= since)
        return set(self._connection.execute(query).scalars())
