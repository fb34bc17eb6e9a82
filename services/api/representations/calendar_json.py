"""The calendar of a schedule: how many of its scheduled times fell on each day of a month, and how they ended."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import groupby, islice
from typing import Any

from services.api.representations import json_values
from shared.language.cron import fires_between
from shared.store.reads.reader import FireTime

__all__ = ["Planned", "calendar_days", "month_bounds", "planned_times"]

_MOST_COVERED = 2_000
"""How many scheduled times of one entry that covers several are counted."""
_MOST_OF_ONE_DAG = 2_000
"""How many scheduled times to come of one DAG are counted. A schedule of every minute has 1,440 a day."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Scheduled times to come in a month, in order; ``until`` is set if there may be more after it."""

    times: tuple[datetime, ...]
    until: datetime | None = None


def month_bounds(month: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the first moment of the month in this zone, and that of the next month, both in UTC."""
    first = month.replace(day=1)
    return _midnight(first, zone), _midnight((first + timedelta(days=32)).replace(day=1), zone)


def planned_times(
    schedules: Iterable[Sequence[str]],
    month: date,
    *,
    now: datetime,
    zone: tzinfo,
    known_until: datetime | None = None,
    most: int = _MOST_OF_ONE_DAG,
) -> Planned:
    """Return the times in the month, from ``now`` on, at which schedules are due: the first ``most``.

    Each schedule has the cron expressions of one DAG. A time at which several of them are due counts once.
    ``known_until``: from then on, schedules that are not given may be due too.
    """
    begin, end = month_bounds(month, zone)
    until = end if known_until is None else min(end, known_until)
    after = max(now, begin - _MOMENT)
    due = heapq.merge(*(_due(each, after, until, zone) for each in schedules)) if after < until else iter(())
    times = tuple(islice(due, most))
    if len(times) == most:
        return Planned(times, times[-1])
    return Planned(times, known_until if until < end else None)


def _due(expressions: Sequence[str], after: datetime, until: datetime, zone: tzinfo) -> Iterator[datetime]:
    times = heapq.merge(*(fires_between(each, after, until - _MOMENT, zone) for each in expressions))
    return (at for at, _ in groupby(times))


def calendar_days(month: date, fires: Iterable[FireTime], planned: Planned, *, zone: tzinfo) -> dict[str, Any]:
    """Return the days of the month, and how many scheduled times of each were fired, skipped, missed or are planned."""
    days = {day: dict.fromkeys(_COUNTED, 0) for day in _days_of(month)}
    for fire in fires:
        for at in _times_of(fire, zone):
            if (day := at.astimezone(zone).date()) in days:
                days[day][fire.outcome] += fire.count
    for at in planned.times:
        days[at.astimezone(zone).date()]["planned"] += 1
    return {
        "month": f"{month:%Y-%m}",
        "begin": json_values.timestamp(month_bounds(month, zone)[0], zone),
        "days": [{"date": day.isoformat(), "end": _end(day, zone), **counts} for day, counts in days.items()],
        **({"plannedUntil": json_values.timestamp(planned.until, zone)} if planned.until else {}),
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
