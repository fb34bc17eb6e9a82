"""A check, the snapshot that it reads, and the violations that it finds."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, Select, select

from shared.language.load import load
from shared.language.model import Dag
from shared.store import tables as t
from shared.store.queries.schedulers import IS_SCHEDULER

__all__ = ["BY_HAND", "MARGIN", "Check", "KnownDag", "KnownStep", "Row", "StoreSnapshot", "Violation", "check"]

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


class KnownStep(NamedTuple):
    """``depends``: the steps that it depends on. ``once``: it neither repeats nor calls runs.

    ``may_be_lost``: it counts as a success also if it fails.
    """

    depends: tuple[int, ...]
    once: bool
    may_be_lost: bool


class KnownDag(NamedTuple):
    """What checks of the whole history keep of each DAG in it: a whole DAG takes some kilobytes for each step."""

    max_active_runs: int
    steps: tuple[KnownStep, ...]

    @classmethod
    def of(cls, dag: Dag) -> Self:
        places = {step.name: place for place, step in enumerate(dag.steps)}
        steps = (
            KnownStep(
                tuple(places[name] for name in step.depends),
                once=step.repeat_policy is None and not step.call and step.parallel is None,
                may_be_lost=bool(step.continue_on.mark_success),
            )
            for step in dag.steps
        )
        return cls(dag.max_active_runs, tuple(steps))


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
        self._watched = self._when_watched()
        self._dags: dict[tuple[str, str], KnownDag | None] = {}

    def rows(self, query: Select[Any]) -> Iterator[Row]:
        """Yield the rows of a query. They are read in batches, so that a large table needs little memory."""
        result = self._connection.execute(query, execution_options={"yield_per": 1000})
        names = tuple(result.keys())
        # A third of the time that ``mappings`` takes, of which most of a check of all transitions consists.
        yield from (dict(zip(names, row, strict=True)) for row in result)

    def dag(self, spec_hash: str, file_name: str | None) -> Dag | None:
        """Return the DAG of a stored spec, or ``None`` if this version cannot read the spec."""
        (row,) = self.rows(select(t.specs.c.yaml).where(t.specs.c.hash == spec_hash))
        loaded = load(row["yaml"], file_name=file_name or "")
        return loaded.dag if loaded.ok else None

    def known_dag(self, spec_hash: str, file_name: str | None) -> KnownDag | None:
        """Return what ``KnownDag`` has of the DAG that ``dag`` returns. Each is read once."""
        key = (spec_hash, file_name or "")
        if key not in self._dags:
            dag = self.dag(*key)
            self._dags[key] = None if dag is None else KnownDag.of(dag)
        return self._dags[key]

    def overdue(self, due: datetime) -> bool:
        """Whether a scheduler had a whole grace (two leases and ``MARGIN``) to act on what was due then.

        Time in which no scheduler ran does not count. So in a stopped system only what was overdue before is overdue.
        """
        if self._settled:
            return due < self.now
        ran = sum((until - max(due, since) for since, until in self._watched if due < until), timedelta())
        return self.grace < ran

    def _when_watched(self) -> list[tuple[datetime, datetime]]:
        """Return from when until when schedulers ran, as far as their heartbeats tell: periods that do not overlap."""
        c = t.services.c
        query = select(c.started_at, c.heartbeat_at).where(IS_SCHEDULER).order_by(c.started_at)
        found: list[tuple[datetime, datetime]] = []
        for row in self.rows(query):
            since, until = row["started_at"], row["heartbeat_at"]
            if found and since <= found[-1][1]:
                since, last = found.pop()
                until = max(last, until)
            found.append((since, until))
        return found


def _whole(snapshot: StoreSnapshot) -> Iterator[StoreSnapshot]:
    yield snapshot


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``proves``: what holds if it finds nothing. ``remedy``: what to do with what it finds.

    ``of``: yields what ``find`` judges, one after the other, from a snapshot. Checks of the same share one pass.
    """

    name: str
    invariant: str
    proves: str
    remedy: str
    of: Callable[[StoreSnapshot], Iterable[Any]]
    find: Callable[[Any], Iterable[Violation]]


def check(
    name: str, invariant: str, remedy: str, *, of: Callable[[StoreSnapshot], Iterable[Any]] = _whole
) -> Callable[[Callable[[Any], Iterable[Violation]]], Check]:
    """Return a decorator that makes a check of a function. The function's docstring says what the check proves."""
    return lambda find: Check(name, invariant, " ".join((find.__doc__ or "").split()), remedy, of, find)
