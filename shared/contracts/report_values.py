"""Types of the values in reports: what both databases can store, and what no calculation with times overflows.

A worker's key may be stolen, and a scheduler records the reports of several workers in one transaction. So a report
with any other value counts as unreadable.
"""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.ids import MOST_LABEL_CHARS, MOST_LABELS, valid_worker_id

__all__ = [
    "Code",
    "Count",
    "ExecutorTypes",
    "HostName",
    "Id",
    "Labels",
    "RunKey",
    "Seconds",
    "SettingTexts",
    "Size",
    "Time",
    "WorkerId",
]

_YEARS = range(1970, 3000)


def _checked_worker_id(text: str) -> str:
    if not valid_worker_id(text):
        raise ValueError("not a worker id")
    return text


def _checked_time(moment: datetime) -> datetime:
    if moment.tzinfo is None or moment.year not in _YEARS:
        raise ValueError(f"not a time with a time zone in a year from {_YEARS[0]} to {_YEARS[-1]}")
    return moment


Code = Annotated[int, Field(gt=-(2**31), lt=2**31)]
"""An exit code. Not the least integer: in ``-2147483648::INTEGER``, Postgres casts before it negates."""
Count = Annotated[int, Field(ge=0, lt=2**31)]
"""The number of a node or an attempt, or of how many there are of something."""
Size = Annotated[int, Field(ge=0, lt=2**63)]
"""A number of bytes."""
Seconds = Annotated[float, Field(ge=0, lt=1e9)]
Time = Annotated[datetime, AfterValidator(_checked_time)]
RunKey = Annotated[str, Field(max_length=36)]
Id = Annotated[str, Field(max_length=64)]
"""A token, an incarnation or a version."""
HostName = Annotated[str, Field(max_length=255)]
_Label = Annotated[str, Field(max_length=MOST_LABEL_CHARS)]
Labels = Annotated[dict[_Label, _Label], Field(max_length=MOST_LABELS + 1)]
ExecutorTypes = Annotated[tuple[Id, ...], Field(max_length=200)]
_Setting = Annotated[str, Field(max_length=1000)]
SettingTexts = Annotated[dict[_Setting, tuple[_Setting, _Setting]], Field(max_length=500)]
"""``ReportedSettings``, of which ``shared.settings.effective`` cuts long values."""
WorkerId = Annotated[str, AfterValidator(_checked_worker_id)]
