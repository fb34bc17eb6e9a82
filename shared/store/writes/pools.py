"""What the scheduler asks and writes about pools; knows rows, not rules."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, select, text, tuple_

from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.writes.transaction import Tx

__all__ = ["Pools"]

Row = Mapping[str, Any]
Found = dict[str, Any]
Key = tuple[str, str]
Who = tuple[str, int]

_GATE = 0x706F6F6C
"""Names the lock in the database; any number would do."""
_AT_ONCE = 200


class Pools:
    """Questions within one transaction. Only who closed the gate may give places away; anybody may give one back."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def close_gate(self) -> None:
        """Keep all others from giving places away until the transaction ends."""
        if is_postgres(self._tx.connection):
            self._tx.connection.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": _GATE})

    def awaited(self) -> list[Key]:
        """Return the pools that somebody waits for."""
        query = select(t.pool_waits.c.kind, t.pool_waits.c.name).distinct()
        return [(kind, name) for kind, name in self._tx.connection.execute(query)]

    def line(self, key: Key, limit: int) -> list[Found]:
        """Return the first ``limit`` who wait for a pool, in their order."""
        w = t.pool_waits.c
        query = select(t.pool_waits).where(w.kind == key[0], w.name == key[1])
        return self._rows(query.order_by(w.entry_order, w.run_key, w.node).limit(limit))

    def waits_of(self, whos: Sequence[Who]) -> list[Found]:
        """Return all that these nodes wait for."""
        w = t.pool_waits.c
        found = []
        for start in range(0, len(whos), _AT_ONCE):
            some = list(whos[start : start + _AT_ONCE])
            found += self._rows(select(t.pool_waits).where(tuple_(w.run_key, w.node).in_(some)))
        return found

    def taken(self, key: Key, now: datetime) -> tuple[int, datetime | None]:
        """Return how many places of a pool are taken, and when the first of a rate limit's becomes free."""
        c = t.pool_places.c
        self._tx.connection.execute(delete(t.pool_places).where(*self._of(key), c.until_at <= now))
        query = select(func.count(), func.min(c.until_at)).where(*self._of(key))
        count, first = self._tx.connection.execute(query).one()
        return int(count), first

    def capacities(self, names: Iterable[str]) -> dict[str, int]:
        """Return the capacities of those of these pools that have one."""
        query = select(t.pools.c.name, t.pools.c.capacity).where(t.pools.c.name.in_(sorted(names)))
        return {row.name: row.capacity for row in self._tx.connection.execute(query)}

    def enter(self, places: Sequence[Row], whos: Sequence[Who]) -> None:
        """Give places away: write them, and let ``whos`` wait no more."""
        self._tx.insert(t.pool_places, places)
        self._forget(t.pool_waits.c, delete(t.pool_waits), whos)

    def ask(self, waits: Sequence[Row]) -> None:
        """Wait; who does so already keeps the place in the line."""
        self._tx.insert_new(t.pool_waits, waits)

    def leave(self, whos: Sequence[Who]) -> None:
        """Give back what these nodes have and stop waiting; places with a time stay taken until then."""
        c = t.pool_places.c
        self._forget(c, delete(t.pool_places).where(c.until_at.is_(None)), whos)
        self._forget(t.pool_waits.c, delete(t.pool_waits), whos)

    # -- capacities ---------------------------------------------------------------------------

    def known(self) -> dict[str, Found]:
        """Return all pools that have a capacity, by name."""
        return {row["name"]: row for row in self._rows(select(t.pools))}

    def put(self, row: Row) -> None:
        """Write a pool whole."""
        self._tx.put(t.pools, [row], ["capacity", "configured", "updated_at", "by"])

    def remove(self, name: str) -> bool:
        """Forget a pool's capacity; return whether there was one."""
        return self._tx.connection.execute(delete(t.pools).where(t.pools.c.name == name)).rowcount > 0

    def _of(self, key: Key) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return t.pool_places.c.kind == key[0], t.pool_places.c.name == key[1]

    def _forget(self, columns: Any, query: Any, whos: Sequence[Who]) -> None:
        if whos:
            node = and_(columns.run_key == bindparam("key"), columns.node == bindparam("position"))
            values = [{"key": key, "position": position} for key, position in whos]
            self._tx.connection.execute(query.where(node), values)

    def _rows(self, query: Any) -> list[Found]:
        return [dict(row) for row in self._tx.connection.execute(query).mappings()]
