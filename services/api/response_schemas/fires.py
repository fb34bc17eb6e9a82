# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of fires and of the calendar of schedules: additions to Dagu's API."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema
from shared.status import FireOutcome

__all__ = ["AllSlotsSchema", "CalendarDaySchema", "CalendarSchema", "SlotSchema", "SlotsSchema"]


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
