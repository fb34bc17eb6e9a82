# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of queues, pools, pauses and fires. All but the list of queues are additions to Dagu's API."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema
from services.api.response_schemas.runs import DAGRunSummarySchema
from shared.contracts.commands.pauses import PauseScope
from shared.status import FireOutcome

__all__ = [
    "AllSlotsSchema",
    "CalendarDaySchema",
    "CalendarSchema",
    "PauseSchema",
    "PausedSchema",
    "PausesSchema",
    "PoolCapacitySchema",
    "PoolSchema",
    "PoolUserSchema",
    "PoolsSchema",
    "QueueItemsSchema",
    "QueueLimitSchema",
    "QueueSchema",
    "QueuesSchema",
    "QueuesSummarySchema",
    "RemovedSchema",
    "SlotSchema",
    "SlotsSchema",
]


class SlotSchema(Schema):
    """The outcome of the scheduled time ``slot``. ``until``: the last one, if one entry covers several."""

    fileName: str = ""
    kind: Literal["start", "stop", "restart"]
    slot: str
    until: str = ""
    expression: str
    outcome: FireOutcome
    reason: str
    dagName: str
    dagRunId: str = ""
    decidedAt: str


class SlotsSchema(Schema):
    nextSlot: str
    slots: list[SlotSchema]
    nextCursor: str | None


class AllSlotsSchema(Schema):
    slots: list[SlotSchema]
    nextCursor: str | None


class CalendarDaySchema(Schema):
    """How many scheduled times of a day fired, were skipped or missed, and how many are to come."""

    date: str = Field(description="YYYY-MM-DD, in the server's time zone")
    end: str = Field(description="the first moment of the next day")
    fired: int
    skipped: int
    missed: int
    planned: int


class CalendarSchema(Schema):
    month: str
    begin: str = Field(default="", description="the first moment of the month")
    days: list[CalendarDaySchema]
    plannedUntil: str = Field(
        default="", description="set if more times are planned than are counted: the last one counted"
    )


class PauseSchema(Schema):
    scope: PauseScope
    name: str
    state: Literal["pausing", "paused"]
    inFlight: int
    estimateSec: int = 0
    pausedAt: str
    pausedBy: str
    reason: str


class PausesSchema(Schema):
    pauses: list[PauseSchema]


class PausedSchema(Schema):
    paused: bool


class QueueLimitSchema(Schema):
    name: str
    maxConcurrency: int


class PoolCapacitySchema(Schema):
    name: str
    capacity: int


class RemovedSchema(Schema):
    """An empty object."""


class PoolUserSchema(Schema):
    name: str
    dagRunId: str
    step: str
    since: str
    until: str = ""


class PoolSchema(Schema):
    kind: Literal["pool", "lock", "rate"]
    name: str
    capacity: int = 0
    intervalSec: float = 0
    taken: int
    waiting: int
    users: list[PoolUserSchema]
    waiters: list[PoolUserSchema]


class PoolsSchema(Schema):
    pools: list[PoolSchema]


class QueueSchema(Schema):
    name: str
    type: Literal["global", "dag-based"]
    maxConcurrency: int = 1
    running: list[DAGRunSummarySchema]
    queued: list[DAGRunSummarySchema]
    runningCount: int = 0
    queuedCount: int = Field(default=0, description="how many runs are queued; the list has at most 1000 of them")


class QueueItemsSchema(Schema):
    items: list[DAGRunSummarySchema]
    nextCursor: str | None = Field(default=None, description="set if the queue has more queued runs")


class QueuesSummarySchema(Schema):
    totalQueues: int
    totalRunning: int
    totalQueued: int
    totalCapacity: int
    utilizationPercentage: float


class QueuesSchema(Schema):
    queues: list[QueueSchema]
    summary: QueuesSummarySchema
