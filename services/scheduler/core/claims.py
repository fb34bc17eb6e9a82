"""Pools: what a step must be let into before it starts, and leaves when its attempt is over. Pure.

One idea for three words. A *pool* has places. A *lock* is a pool of one place. A *rate limit* is a
pool whose places stay taken for its interval, however soon the step ends. A step takes one place in
each of its pools at once, or none; so no two steps ever wait for each other.

Order: each waiting step is entitled to one free place of each of its pools, in the order of asking
(``entry_order``). So a step may start if, in each of its pools, fewer wait before it than places are
free: none overtakes another in a pool, and none that needs several pools waits for ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from services.scheduler.core.admit import AGING, HIGH
from shared.language.model import Step

__all__ = ["LOCK", "POOL", "RATE", "Claim", "Line", "PoolKey", "claims_of", "entry_order", "may_enter"]

POOL, LOCK, RATE = "pool", "lock", "rate"


class PoolKey(NamedTuple):
    """What names a pool: a lock and a pool of the same name have nothing to do with each other."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One place in one pool. ``limit`` and ``interval_s`` are a rate limit's own, else 0."""

    key: PoolKey
    limit: int = 0
    interval_s: float = 0

    def capacity(self, configured: int | None) -> int:
        """Return how many places the pool has; one that nobody configured has one."""
        if self.key.kind == RATE:
            return self.limit
        return 1 if self.key.kind == LOCK or configured is None else configured


@dataclass(frozen=True, slots=True)
class Line:
    """A pool at one moment: ``taken`` places, and who waits, in order; ``waiting`` may be cut short at its end."""

    taken: int
    waiting: Sequence[tuple[str, int]]
    configured: int | None = None


def claims_of(step: Step) -> tuple[Claim, ...]:
    """Return what a step must have before it starts; nothing for most."""
    if not (step.pool or step.lock or step.rate_limit):
        return ()
    return (
        *[Claim(PoolKey(POOL, name)) for name in step.pool],
        *[Claim(PoolKey(LOCK, name)) for name in step.lock],
        *[Claim(PoolKey(RATE, rate.name), rate.limit, rate.interval_sec) for rate in step.rate_limit],
    )


def entry_order(asked_at: datetime, priority: int) -> datetime:
    """Return what those who wait are ordered by: as runs in a queue, by the priority of their run."""
    return asked_at - min(priority, HIGH) * AGING


def may_enter(who: tuple[str, int], claims: Iterable[Claim], lines: Mapping[PoolKey, Line]) -> bool:
    """Whether ``who`` is entitled to a place in each of the pools it claims."""
    for claim in claims:
        line = lines[claim.key]
        if who not in line.waiting[: max(0, claim.capacity(line.configured) - line.taken)]:
            return False
    return True
