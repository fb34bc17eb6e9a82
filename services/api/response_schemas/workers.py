# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of workers."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema
from shared.status import WorkerState

__all__ = ["DrainSchema", "DrainedSchema", "RunningTaskSchema", "WorkerSchema", "WorkersSchema"]


class RunningTaskSchema(Schema):
    dagRunId: str
    dagName: str
    startedAt: str
    rootDagRunName: str
    rootDagRunId: str
    parentDagRunName: str
    parentDagRunId: str


class DrainSchema(Schema):
    by: str
    at: str
    reason: str
    heard: bool = Field(description="whether the worker has said that it takes no new runs")


class DrainedSchema(Schema):
    drained: bool


class WorkerSchema(Schema):
    id: str
    labels: dict[str, str]
    totalPollers: int
    busyPollers: int
    runningTasks: list[RunningTaskSchema]
    lastHeartbeatAt: str
    healthStatus: Literal["healthy", "warning", "unhealthy"]
    host: str
    version: str
    state: WorkerState
    leaseUntil: str
    executors: list[str]
    drain: DrainSchema | None = Field(
        default=None, description="set while the worker is drained: by whom, when and why"
    )


class WorkersSchema(Schema):
    workers: list[WorkerSchema]
    errors: list[str]
