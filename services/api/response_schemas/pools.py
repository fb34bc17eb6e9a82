# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of pools: additions to Dagu's API."""

from typing import Literal

from services.api.response_schemas.base import Schema

__all__ = ["PoolCapacitySchema", "PoolSchema", "PoolUserSchema", "PoolsSchema"]


class PoolCapacitySchema(Schema):
    name: str
    capacity: int


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
