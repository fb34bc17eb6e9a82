"""Which waiting steps may enter their pools, locks and rate limits, and why the others wait. Pure.

A *pool* has places. A *lock* is a pool of one place. A *rate limit* is a pool whose places stay taken
for its interval, however soon the step ends. A step takes one place in each of its pools at once, or
none, so two steps can never deadlock.

Order: each waiting step is entitled to one free place of each of its pools, in the order of asking
(``entry_order``). So a step may start if, in each of its pools, fewer wait before it than places are
free: no step overtakes another in a pool, and a step that needs several pools does not starve.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.admission.runs import AGING, HIGH

__all__ = ["LOCK", "POOL", "RATE", "Claim", "PoolKey", "PoolState", "entry_order", "may_enter", "obstacle"]

POOL, LOCK, RATE = "pool", "lock", "rate"
_NAMED = 5
"""How many users of a full pool its explanation names."""

Who = tuple[str, int]
"""A waiting step: its run's key and its index."""


class PoolKey(NamedTuple):
    """The identity of a pool. A lock and a pool of the same name are independent."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One place in one pool. ``limit`` and ``interval_s`` are those of a rate limit, else 0."""

    key: PoolKey
    limit: int = 0
    interval_s: float = 0

    def capacity(self, configured: int | None) -> int:
        """Return how many places the pool has: 1 if its capacity is not configured."""
        if self.key.kind == RATE:
            return self.limit
        return 1 if self.key.kind == LOCK or configured is None else configured


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool at one moment.

    ``waiting``: who waits, in order; it may be cut short at its end. ``users``: the first few steps that
    have a place, as text. ``free_at``: when the first place of a rate limit becomes free.
    """

    taken: int
    configured: int | None = None
    waiting: Sequence[Who] = ()
    users: tuple[str, ...] = ()
    free_at: datetime | None = None

    def ahead_of(self, who: Who) -> int | None:
        """Return how many wait before ``who``; ``None`` if it is not among those known to wait."""
        return self.waiting.index(who) if who in self.waiting else None


@dataclass(frozen=True, slots=True)
class PoolFull:
    """Each place of the pool is taken."""

    claim: Claim
    pool: PoolState

    def __str__(self) -> str:
        claim, pool, name = self.claim, self.pool, _name(self.claim.key)
        if claim.key.kind == LOCK:
            return f"{name}, held by {pool.users[0]}" if pool.users else f"{name}, which is held"
        if claim.key.kind == RATE:
            until = f": not before {pool.free_at.isoformat(timespec='seconds')}" if pool.free_at else ""
            return f"{name} ({claim.limit} starts in {claim.interval_s:g} s){until}"
        more = f" and {pool.taken - _NAMED} more" if pool.taken > _NAMED else ""
        who = ", ".join(pool.users[:_NAMED])
        return f"{name} is full ({pool.taken}/{claim.capacity(pool.configured)}): {who}{more}"


@dataclass(frozen=True, slots=True)
class BehindSteps:
    """The pool has free places, which those before this step are entitled to."""

    key: PoolKey
    ahead: int

    def __str__(self) -> str:
        return f"its turn for {_name(self.key)}, behind {self.ahead} more"


def obstacle(claim: Claim, pool: PoolState, ahead: int | None) -> PoolFull | BehindSteps | None:
    """Return why a step with ``ahead`` others before it has no place in a pool; ``None`` if it is entitled to one."""
    free = claim.capacity(pool.configured) - pool.taken
    if free <= 0:
        return PoolFull(claim, pool)
    if ahead is None:
        return BehindSteps(claim.key, len(pool.waiting))
    return BehindSteps(claim.key, ahead) if ahead >= free else None


def may_enter(who: Who, claims: Iterable[Claim], pools: Mapping[PoolKey, PoolState]) -> bool:
    """Whether ``who`` is entitled to a place in each of the pools it claims."""
    return all(obstacle(claim, pools[claim.key], pools[claim.key].ahead_of(who)) is None for claim in claims)


def entry_order(asked_at: datetime, priority: int) -> datetime:
    """Return the sort key of a waiting step: like runs in a queue, by the priority of its run."""
    return asked_at - min(priority, HIGH) * AGING


def _name(key: PoolKey) -> str:
    return f"rate limit {key.name}" if key.kind == RATE else f"{key.kind} {key.name}"
