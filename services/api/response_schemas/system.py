# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of health, workers, services and machine load."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema
from shared.status import WorkerState

__all__ = [
    "CoordinatorsSchema",
    "DrainSchema",
    "DrainedSchema",
    "HealthSchema",
    "InstanceSchema",
    "PointSchema",
    "ResourcesSchema",
    "RunningTaskSchema",
    "SchedulersSchema",
    "SchemaRevisionsSchema",
    "WorkerSchema",
    "WorkersSchema",
]


class SchemaRevisionsSchema(Schema):
    expected: str
    found: str | None


class HealthSchema(Schema):
    status: Literal["healthy", "unhealthy"]
    version: str
    schemaRevision: SchemaRevisionsSchema | None
    uptime: int
    timestamp: str
    error: str = ""


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


class InstanceSchema(Schema):
    instanceId: str
    host: str
    status: Literal["active", "inactive", "unknown"]
    startedAt: str
    version: str = ""


class SchedulersSchema(Schema):
    schedulers: list[InstanceSchema]


class CoordinatorsSchema(Schema):
    coordinators: list[InstanceSchema]


class PointSchema(Schema):
    timestamp: int
    value: float


class ResourcesSchema(Schema):
    cpu: list[PointSchema]
    memory: list[PointSchema]
    disk: list[PointSchema]
    load: list[PointSchema]
