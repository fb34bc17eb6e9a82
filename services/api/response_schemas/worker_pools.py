# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of reserved worker pools: additions to Dagu's API."""

from services.api.response_schemas.base import Schema

__all__ = ["ReservedPoolSchema", "ReservedPoolsSchema"]


class ReservedPoolSchema(Schema):
    """A worker pool and the workspaces that it serves."""

    name: str
    workspaces: list[str]


class ReservedPoolsSchema(Schema):
    workerPools: list[ReservedPoolSchema]
