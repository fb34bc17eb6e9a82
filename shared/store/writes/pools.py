"""Pools, who has a place in them and who waits, as a transaction reads and writes them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, select, text, tuple_

from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["PoolWrites"]

Key = tuple[str, str]
Who = tuple[str, int]

_GATE = 0x706F6F6C
"""The key of the advisory lock; the number itself means nothing."""
_AT_ONCE = 200


class PoolWrites(Writer):
    """Pools and their queues of waiting nodes.

    Only a transaction that holds the gate may give places away; any transaction may give one back.
    """

    __slots__ = ()

    def close_gate(self) -> None:
        """Lock the gate until the transaction ends, so that no other transaction gives places away."""
        if is_postgres(self._connection):
            self._connection.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": _GATE})

    def awaited(self) -> list[Key]:
        """Return the pools that nodes wait for."""
        query = select(t.pool_waits.c.kind, t.pool_waits.c.name).distinct()
        return [(kind, name) for kind, name in self._connection.execute(query)]

    def line(self, key: Key, limit: int) -> list[FoundRow]:
        """Return the first ``limit`` nodes that wait for a pool, in their order."""
        w = t.pool_waits.c
        query = select(t.pool_waits).where(w.kind == key[0], w.name == key[1])
        return self._rows(query.order_by(w.entry_order, w.run_key, w.node).limit(limit))

    def waits_of(self, whos: Sequence[Who]) -> list[FoundRow]:
        """Return all that these nodes wait for."""
        w = t.pool_waits.c
        found = []
        for start in range(0, len(whos), _AT_ONCE):
            some = list(whos[start : start + _AT_ONCE])
            found += self._rows(select(t.pool_waits).where(tuple_(w.run_key, w.node).in_(some)))
        return found

    def taken(self, key: Key, now: datetime) -> tuple[int, datetime | None]:
        """Return how many places of a pool are taken, and when the next place of a rate limit becomes free."""
        c = t.pool_places.c
        self._connection.execute(delete(t.pool_places).where(*self._of(key), c.until_at <= now))
        query = select(func.count(), func.min(c.until_at)).where(*self._of(key))
        count, first = self._connection.execute(query).one()
        return int(count), first

    def capacities(self, names: Iterable[str]) -> dict[str, int]:
        """Return the capacities of these pools; a pool without one is left out."""
        query = select(t.pools.c.name, t.pools.c.capacity).where(t.pools.c.name.in_(sorted(names)))
        return {row.name: row.capacity for row in self._connection.execute(query)}

    def enter(self, places: Sequence[NewRow], whos: Sequence[Who]) -> None:
        """Give places away: write them, and remove ``whos`` from those that wait."""
        self._insert(t.pool_places, places)
        self._forget(t.pool_waits.c, delete(t.pool_waits), whos)

    def ask(self, waits: Sequence[NewRow]) -> None:
        """Add nodes to those that wait; one that waits already keeps its place in the line."""
        self._insert_new(t.pool_waits, waits)

    def leave(self, whos: Sequence[Who]) -> None:
        """Give back the places of these nodes and let them wait no more; a place with a time stays taken until then."""
        c = t.pool_places.c
        self._forget(c, delete(t.pool_places).where(c.until_at.is_(None)), whos)
        self._forget(t.pool_waits.c, delete(t.pool_waits), whos)

    # -- capacities ---------------------------------------------------------------------------

    def known(self) -> dict[str, FoundRow]:
        """Return all pools that have a capacity, by name."""
        return {row["name"]: row for row in self._rows(select(t.pools))}

    def put(self, row: NewRow) -> None:
        """Write a pool whole."""
        self._put(t.pools, [row], ["capacity", "configured", "updated_at", "by"])

    def remove(self, name: str) -> bool:
        """Remove a pool's capacity; return whether there was one."""
        return self._connection.execute(delete(t.pools).where(t.pools.c.name == name)).rowcount > 0

    def _of(self, key: Key) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return t.pool_places.c.kind == key[0], t.pool_places.c.name == key[1]

    def _forget(self, columns: Any, query: Any, whos: Sequence[Who]) -> None:
        if whos:
            node = and_(columns.run_key == bindparam("key"), columns.node == bindparam("position"))
            values = [{"key": key, "position": position} for key, position in whos]
            self._connection.execute(query.where(node), values)
