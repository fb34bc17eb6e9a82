# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of health, services and machine load."""

from typing import Literal

from services.api.response_schemas.base import Schema

__all__ = [
    "CoordinatorsSchema",
    "HealthSchema",
    "InstanceSchema",
    "PointSchema",
    "ResourcesSchema",
    "SchedulersSchema",
    "SchemaRevisionsSchema",
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
