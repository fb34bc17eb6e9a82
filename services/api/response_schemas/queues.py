# ruff: noqa: N815, D101 - the fields are the wire's own names, and say what they are
"""What answers about slots, pauses and pools look like; all of them additions to the contract. See ``answers``."""

from typing import Literal

from services.api.response_schemas.runs import Shape

__all__ = ["PauseState", "Pauses", "Pool", "PoolCapacity", "Pools", "QueueLimit", "Removed", "Slots"]


class Slot(Shape):
    kind: Literal["start", "stop", "restart"]
    slot: str
    until: str = ""
    expression: str
    outcome: Literal["fired", "skipped", "missed"]
    reason: str
    dagName: str
    dagRunId: str = ""
    decidedAt: str


class Slots(Shape):
    nextSlot: str
    slots: list[Slot]


class Pause(Shape):
    scope: Literal["global", "queue", "dag"]
    name: str
    state: Literal["pausing", "drained"]
    inFlight: int
    estimateSec: int = 0
    pausedAt: str
    pausedBy: str
    reason: str


class Pauses(Shape):
    pauses: list[Pause]


class PauseState(Shape):
    paused: bool


class QueueLimit(Shape):
    name: str
    maxConcurrency: int


class PoolCapacity(Shape):
    name: str
    capacity: int


class Removed(Shape):
    """Nothing to say."""


class PoolUser(Shape):
    name: str
    dagRunId: str
    step: str
    since: str
    until: str = ""


class Pool(Shape):
    kind: Literal["pool", "lock", "rate"]
    name: str
    capacity: int = 0
    intervalSec: float = 0
    taken: int
    waiting: int
    users: list[PoolUser]
    waiters: list[PoolUser]


class Pools(Shape):
    pools: list[Pool]
