# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of pauses: additions to Dagu's API."""

from typing import Literal

from services.api.response_schemas.base import Schema
from shared.contracts.commands.pauses import PauseScope

__all__ = ["PauseSchema", "PausedSchema", "PausesSchema"]


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
