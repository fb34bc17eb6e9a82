"""Reads and writes of pools in a transaction: their capacities, their places, and the nodes that wait."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, text, tuple_

from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["PoolWrites"]

Key = tuple[str, str]
Who = tuple[str, int]

_GATE = 0x706F6F6C
"""The key of the advisory lock: "pool" in ASCII."""
_AT_ONCE = 200
"""How many nodes one statement names."""


class PoolWrites(Writer):
    """Reads and writes of pools and of the nodes that wait for them.

    Only a transaction that holds the gate (an advisory lock) may assign places; any transaction may free places.
    """

    def close_gate(self) -> None:
        """Take the gate until the transaction ends, so that no other transaction assigns places."""
        if is_postgres(self._connection):
            self._connection.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": _GATE})

    def awaited(self) -> list[Key]:
        """Return the keys of the pools that nodes wait for."""
        query = select(t.pool_waits.c.kind, t.pool_waits.c.name).distinct()
        return [(kind, name) for kind, name in self._connection.execute(query)]

    def line(self, key: Key, limit: int) -> list[FoundRow]:
        """Return the first ``limit`` nodes that wait for a pool, in the order in which they get places."""
        w = t.pool_waits.c
        query = select(t.pool_waits).where(w.kind == key[0], w.name == key[1])
        return self._rows(query.order_by(w.entry_order, w.run_key, w.node).limit(limit))

    def waits_of(self, whos: Sequence[Who]) -> list[FoundRow]:
        """Return all waits of these nodes."""
        w = t.pool_waits.c
        found = []
        for start in range(0, len(whos), _AT_ONCE):
            some = list(whos[start : start + _AT_ONCE])
            found += self._rows(select(t.pool_waits).where(tuple_(w.run_key, w.node).in_(some)))
        return found

    def expire(self, key: Key, now: datetime) -> None:
        """Delete the places of a rate limit whose time is over."""
        self._connection.execute(delete(t.pool_places).where(*self._of(key), t.pool_places.c.until_at <= now))

    def taken(self, key: Key) -> tuple[int, datetime | None]:
        """Return the number of taken places, and for a rate limit the time when the next place becomes free."""
        query = select(func.count(), func.min(t.pool_places.c.until_at)).where(*self._of(key))
        count, first = self._connection.execute(query).one()
        return int(count), first

    def capacities(self, names: Iterable[str]) -> dict[str, int]:
        """Return the capacities of these pools by name; a pool without a stored capacity is left out."""
        query = select(t.pools.c.name, t.pools.c.capacity).where(t.pools.c.name.in_(sorted(names)))
        return {row.name: row.capacity for row in self._connection.execute(query)}

    def enter(self, places: Sequence[NewRow], whos: Sequence[Who]) -> None:
        """Assign places: insert ``places``, and delete the waits of the nodes ``whos``."""
        self._insert(t.pool_places, places)
        self._forget(t.pool_waits.c, delete(t.pool_waits), whos)

    def ask(self, waits: Sequence[NewRow]) -> None:
        """Insert waits of nodes; a node that already waits for the pool keeps its position."""
        self._insert_new(t.pool_waits, waits)

    def leave(self, whos: Sequence[Who]) -> None:
        """Free the places of these nodes and delete their waits. A place of a rate limit stays taken until its time."""
        c = t.pool_places.c
        self._forget(c, delete(t.pool_places).where(c.until_at.is_(None)), whos)
        self._forget(t.pool_waits.c, delete(t.pool_waits), whos)

    # -- capacities ---------------------------------------------------------------------------

    def known(self) -> dict[str, FoundRow]:
        """Return all pools with a stored capacity, by name."""
        return {row["name"]: row for row in self._rows(select(t.pools))}

    def put(self, row: NewRow) -> None:
        """Insert a pool, or replace all columns of an existing one."""
        self._put(t.pools, [row], ["capacity", "configured", "updated_at", "by"])

    def remove(self, name: str) -> bool:
        """Delete a pool's stored capacity; return whether it had one."""
        return self._connection.execute(delete(t.pools).where(t.pools.c.name == name)).rowcount > 0

    def _of(self, key: Key) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return t.pool_places.c.kind == key[0], t.pool_places.c.name == key[1]

    def _forget(self, columns: Any, query: Any, whos: Sequence[Who]) -> None:
        for start in range(0, len(whos), _AT_ONCE):
            some = list(whos[start : start + _AT_ONCE])
            self._connection.execute(query.where(tuple_(columns.run_key, columns.node).in_(some)))
