# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of queues. Those of limits are additions to Dagu's API."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema
from services.api.response_schemas.runs import DAGRunSummarySchema

__all__ = ["QueueItemsSchema", "QueueLimitSchema", "QueueSchema", "QueuesSchema", "QueuesSummarySchema"]


class QueueLimitSchema(Schema):
    name: str
    maxConcurrency: int


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
