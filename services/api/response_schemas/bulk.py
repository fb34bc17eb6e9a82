# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of actions on many runs: additions to Dagu's API."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema

__all__ = ["BulkResponseSchema", "BulkResultSchema", "StopQueueResponseSchema"]


class BulkResultSchema(Schema):
    name: str
    dagRunId: str
    outcome: Literal["done", "refused", "accepted"] = Field(
        description="accepted: the command is stored durably, its outcome not known yet"
    )
    code: str = Field(default="", description="the error code of a refusal")
    message: str = ""


class BulkResponseSchema(Schema):
    results: list[BulkResultSchema]


class StopQueueResponseSchema(Schema):
    errors: list[str] = Field(description="why a run could not be stopped, a line for each")
    nextCursor: str | None = Field(default=None, description="set if the queue has more runs than one request stops")
