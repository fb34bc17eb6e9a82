"""A check, the snapshot that it reads, and the violations that it finds."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, select

from shared.language.load import load
from shared.language.model import Dag
from shared.store import tables as t
from shared.store.queries.schedulers import IS_SCHEDULER

__all__ = ["BY_HAND", "MARGIN", "Check", "Row", "StoreSnapshot", "Violation", "check"]

MARGIN = timedelta(seconds=30)
"""What a scheduler may take beyond two leases until nothing is overdue: a sweep of the outbox, a poll, a slow pass."""

BY_HAND = "set by hand, was "
"""How a run's history says that a person set the status of a step, to any status."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation: what is wrong, and the ids of the rows that show it."""

    text: str
    ids: Mapping[str, str]


class StoreSnapshot:
    """One read-only transaction, whose queries all see the same state of the database.

    ``now``: the time when the transaction began. ``lease_s``: the lease of the schedulers, in seconds. ``settled``:
    nothing is on its way any more, so everything that was due before ``now`` is overdue.
    """

    def __init__(self, connection: Connection, now: datetime, lease_s: float, *, settled: bool = False) -> None:
        self._connection = connection
        self._settled = settled
        self.now = now
        self.grace = timedelta(seconds=2 * lease_s) + MARGIN
        self._watched = self._since_when()
        self._dags: dict[tuple[str, str], Dag | None] = {}

    def rows(self, query: Select[Any]) -> Iterator[Row]:
        """Yield the rows of a query. They are read in batches, so that a large table needs little memory."""
        result = self._connection.execute(query, execution_options={"yield_per": 1000})
        yield from (dict(row) for row in result.mappings())

    def dag(self, spec_hash: str, file_name: str | None) -> Dag | None:
        """Return the DAG of a stored spec, or ``None`` if this version cannot read the spec."""
        key = (spec_hash, file_name or "")
        if key not in self._dags:
            (row,) = self.rows(select(t.specs.c.yaml).where(t.specs.c.hash == spec_hash))
            loaded = load(row["yaml"], file_name=key[1])
            self._dags[key] = loaded.dag if loaded.ok else None
        return self._dags[key]

    def overdue(self, due: datetime) -> bool:
        """Whether a scheduler had a whole grace (two leases and ``MARGIN``) to act on what was due then.

        Time in which no scheduler ran does not count. So in a stopped system only what was overdue before is overdue.
        """
        if self._settled:
            return due < self.now
        if self._watched is None:
            return False
        since, until = self._watched
        return max(due, since) + self.grace < until

    def _since_when(self) -> tuple[datetime, datetime] | None:
        """Return from when until when schedulers ran, or ``None`` if no heartbeat of a scheduler is recorded."""
        c = t.services.c
        query = select(c.started_at, c.heartbeat_at).where(IS_SCHEDULER)
        found = [(row["started_at"], row["heartbeat_at"]) for row in self.rows(query)]
        if not found:
            return None
        until = max(heartbeat for _, heartbeat in found)
        # A scheduler that died long before the last heartbeat does not tell that one ran all the time since.
        return min(started for started, heartbeat in found if heartbeat + self.grace >= until), until


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``proves``: what holds if it finds nothing. ``remedy``: what to do with what it finds."""

    name: str
    invariant: str
    proves: str
    remedy: str
    find: Callable[[StoreSnapshot], Iterable[Violation]]


def check(name: str, invariant: str, remedy: str) -> Callable[[Callable[[StoreSnapshot], Iterable[Violation]]], Check]:
    """Return a decorator that makes a check of a function. The function's docstring says what the check proves."""
    return lambda find: Check(name, invariant, " ".join((find.__doc__ or "").split()), remedy, find)
