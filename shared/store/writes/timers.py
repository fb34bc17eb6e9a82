"""Reads and writes of timers in a transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select

from shared.store import tables as t
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["TimerWrites"]


class TimerWrites(Writer):
    """Reads and writes of the timers of runs and nodes."""

    def due(self, now: datetime, limit: int) -> list[FoundRow]:
        """Return up to ``limit`` due timers, longest overdue first. Locks nothing."""
        return self._rows(select(t.timers).where(t.timers.c.due_at <= now).order_by(t.timers.c.due_at).limit(limit))

    def due_of(self, run_keys: Sequence[str], now: datetime) -> list[FoundRow]:
        """Return the due timers of these runs. The runs must be locked, so that no other scheduler fires them."""
        c = t.timers.c
        return self._rows(select(t.timers).where(c.run_key.in_(run_keys), c.due_at <= now))

    def next_due_at(self) -> datetime | None:
        """Return the time at which the next timer is due, or ``None`` if there are no timers."""
        due: datetime | None = self._connection.execute(select(func.min(t.timers.c.due_at))).scalar()
        return due

    def put(self, rows: Sequence[NewRow]) -> None:
        """Insert timers, or set the time of existing ones."""
        self._put(t.timers, rows, ["due_at"])

    def delete(self, timers: Sequence[tuple[str, int, str]]) -> None:
        """Delete timers by ``(run key, node, kind)``."""
        if timers:
            c = t.timers.c
            query = delete(t.timers).where(
                c.run_key == bindparam("key"), c.node == bindparam("position"), c.kind == bindparam("what")
            )
            rows = [{"key": key, "position": node, "what": kind} for key, node, kind in timers]
            self._connection.execute(query, rows)
