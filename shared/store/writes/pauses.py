"""Reads and writes of pauses in a transaction."""

from sqlalchemy import delete, select, update

from shared.store import tables as t
from shared.store.queries.pauses import IS_OPEN
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["PauseWrites"]


class PauseWrites(Writer):
    """Reads and writes of pauses of a DAG, a queue or everything."""

    def all(self) -> list[FoundRow]:
        """Return all pauses, including ended ones."""
        return self._rows(select(t.pauses))

    def open(self) -> list[FoundRow]:
        """Return the open pauses, i.e. those that have not ended."""
        return self._rows(select(t.pauses).where(IS_OPEN))

    def put(self, row: NewRow) -> None:
        """Insert a pause, or replace all columns of an existing one."""
        self._put(t.pauses, [row], ["paused_at", "paused_by", "reason", "resumed_at", "catchup"])

    def rename(self, old: str, new: str) -> None:
        """Move a DAG's pause from file name ``old`` to ``new``, and replace any pause that ``new`` has."""
        c = t.pauses.c
        self._connection.execute(delete(t.pauses).where(c.scope == "dag", c.name == new))
        self._connection.execute(update(t.pauses).where(c.scope == "dag", c.name == old).values(name=new))
