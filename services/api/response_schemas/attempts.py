# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of attempts: additions to Dagu's API."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema
from shared.contracts.events import Outcome

__all__ = ["AttemptSchema", "AttemptsSchema"]


class AttemptSchema(Schema):
    stepName: str
    runAttempt: int = Field(
        ge=1, description="the attempt of the run that it belongs to; a retry of the run is the next"
    )
    number: int = Field(
        default=0, ge=0, description="counts the tries of the step from 1; absent if withdrawn before it began"
    )
    status: Literal["dispatched", "running", "lost", "withdrawn"] | Outcome
    dispatchedAt: str
    startedAt: str = ""
    finishedAt: str = Field(default="", description="when its end was recorded; absent while it is open")
    workerId: str = ""
    exitCode: int | None = None
    reason: str = Field(default="", description="why it ended without success")


class AttemptsSchema(Schema):
    attempts: list[AttemptSchema]
    nextCursor: str | None = Field(default=None, description="the page of older ones; only with stepName and limit")
