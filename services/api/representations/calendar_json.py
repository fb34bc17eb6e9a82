"""The calendar of a schedule: how many of its scheduled times fell on each day of a month, and how they ended."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice
from typing import Any

from services.api.representations import json_values
from shared.language.cron import fires_between, next_fires
from shared.store.reads.reader import FireTime

__all__ = ["calendar_days", "month_bounds"]

_MOST_COVERED = 2_000
"""How many scheduled times of one entry that covers several are counted."""
_MOST_PLANNED = 2_000
"""How many scheduled times to come are counted. A schedule of every minute has 1,440 a day."""


def month_bounds(month: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the first moment of the month in this zone, and that of the next month, both in UTC."""
    first = month.replace(day=1)
    return _midnight(first, zone), _midnight((first + timedelta(days=32)).replace(day=1), zone)


def calendar_days(
    month: date, fires: Iterable[FireTime], expressions: Sequence[str], *, now: datetime, zone: tzinfo
) -> dict[str, Any]:
    """Return the days of the month, and how many scheduled times of each were fired, skipped, missed or are planned.

    ``fires`` are past times. Planned are the times of the cron ``expressions`` from ``now`` on; give no expressions for
    a suspended schedule. Planned times are counted up to ``_MOST_PLANNED``; then ``plannedUntil`` is the last of them.
    """
    begin, end = month_bounds(month, zone)
    days = {day: dict.fromkeys(_COUNTED, 0) for day in _days_of(month)}
    for fire in fires:
        for at in _times_of(fire, zone):
            if (day := at.astimezone(zone).date()) in days:
                days[day][fire.outcome] += 1
    due = next_fires(expressions, max(now, begin - _MOMENT), zone, most=_MOST_PLANNED) if now < end else []
    planned = [at for at in due if at < end]
    for at in planned:
        days[at.astimezone(zone).date()]["planned"] += 1
    cut = len(planned) == _MOST_PLANNED
    return {
        "month": f"{month:%Y-%m}",
        "days": [{"date": day.isoformat(), "end": _end(day, zone), **counts} for day, counts in days.items()],
        **({"plannedUntil": json_values.timestamp(planned[-1], zone)} if cut else {}),
    }


_COUNTED = ("fired", "skipped", "missed", "planned")
_MOMENT = timedelta(microseconds=1)


def _days_of(month: date) -> list[date]:
    return [day for n in range(31) if (day := month.replace(day=1) + timedelta(days=n)).month == month.month]


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _end(day: date, zone: tzinfo) -> str:
    return json_values.timestamp(_midnight(day + timedelta(days=1), zone), zone)


def _times_of(fire: FireTime, zone: tzinfo) -> Iterable[datetime]:
    if fire.until_at is None:
        return (fire.slot_at,)
    covered = islice(fires_between(fire.expression, fire.slot_at - _MOMENT, fire.until_at, zone), _MOST_COVERED)
    # The expression may have been changed since, or be one of several.
    return tuple(covered) or (fire.slot_at,)
