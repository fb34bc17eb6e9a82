"""Decides which waiting steps may enter their pools, locks and rate limits, and explains why the others wait. Pure.

A *pool* has a number of places. A *lock* is a pool with one place. A *rate limit* is a pool in which a place stays
taken for the whole interval, even if the step ends earlier. A step takes one place in each of its pools in one
transaction, or no place at all, so two steps cannot deadlock.

Order: the waiting steps of a pool are sorted by ``entry_order``. Each is entitled to one free place, in that order. So
a step may start if, in each of its pools, the number of steps before it is less than the number of free places. No step
overtakes another in a pool, and a step that needs several pools does not starve.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.admission.runs import AGING, own_priority

__all__ = ["LOCK", "POOL", "RATE", "Claim", "PoolKey", "PoolState", "entry_order", "may_enter", "obstacle"]

POOL, LOCK, RATE = "pool", "lock", "rate"
_NAMED = 5
"""How many of the steps in a full pool an explanation names."""

Who = tuple[str, int]
"""A waiting step: the key of its run, and its index among the run's nodes."""


class PoolKey(NamedTuple):
    """The identity of a pool, lock or rate limit. A lock and a pool with the same name are independent."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One place that a step needs in one pool. ``limit`` and ``interval_s`` are 0 unless it is a rate limit."""

    key: PoolKey
    limit: int = 0
    interval_s: float = 0

    def capacity(self, configured: int | None) -> int:
        """Return how many places the pool has. ``configured`` is its configured capacity; ``None`` means 1 place."""
        if self.key.kind == RATE:
            return self.limit
        return 1 if self.key.kind == LOCK or configured is None else configured


@dataclass(frozen=True, slots=True)
class PoolState:
    """The state of a pool at one moment.

    - ``taken``: how many places are taken.
    - ``configured``: the configured capacity, or ``None``.
    - ``waiting``: the steps that wait for a place, in order. The list may be incomplete at its end.
    - ``users``: the first few steps that have a place, as text.
    - ``free_at``: when the first place of a rate limit becomes free.
    """

    taken: int
    configured: int | None = None
    waiting: Sequence[Who] = ()
    users: tuple[str, ...] = ()
    free_at: datetime | None = None

    def ahead_of(self, who: Who) -> int | None:
        """Return how many steps wait before ``who``, or ``None`` if ``who`` is not in ``waiting``."""
        return self.waiting.index(who) if who in self.waiting else None


@dataclass(frozen=True, slots=True)
class PoolFull:
    """The obstacle that all places of a pool are taken."""

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
    """The obstacle that the steps before this step are entitled to all free places of a pool."""

    key: PoolKey
    ahead: int

    def __str__(self) -> str:
        return f"its turn for {_name(self.key)} (steps before it: {self.ahead})"


def obstacle(claim: Claim, pool: PoolState, ahead: int | None) -> PoolFull | BehindSteps | None:
    """Return why a step may not enter a pool, or ``None`` if it may.

    ``ahead`` is the number of steps that wait before it; ``None`` means that it is not in the pool's list.
    """
    free = claim.capacity(pool.configured) - pool.taken
    if free <= 0:
        return PoolFull(claim, pool)
    if ahead is None:
        return BehindSteps(claim.key, len(pool.waiting))
    return BehindSteps(claim.key, ahead) if ahead >= free else None


def may_enter(who: Who, claims: Iterable[Claim], pools: Mapping[PoolKey, PoolState]) -> bool:
    """Return whether the step ``who`` is entitled to a place in each of the pools in ``claims``."""
    return all(obstacle(claim, pools[claim.key], pools[claim.key].ahead_of(who)) is None for claim in claims)


def entry_order(asked_at: datetime, priority: int) -> datetime:
    """Return the sort key of a waiting step: the time it asked, earlier by ``AGING`` if its run has high priority."""
    return asked_at - own_priority(priority) * AGING


def _name(key: PoolKey) -> str:
    return f"rate limit {key.name}" if key.kind == RATE else f"{key.kind} {key.name}"
