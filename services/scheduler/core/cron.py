"""When a cron expression is due: croniter finds matching wall times, the rules about clock changes are ours.

An expression whose minute and hour both name times (``30 2 * * *``) fires once for each of these wall
times: where the clock goes back the first time it shows it, and where the clock jumps over it at the
first moment after the jump. Any other expression (``*/20 * * * *``) fires at every minute whose wall
time matches: through both hours where one comes twice, and not at all for minutes that are jumped over.

Source: cron(8) of Debian, "daylight saving time and other time changes"; docs/schedules.md.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from shared.language.schedule import cron_error, split_zone

__all__ = ["fires_between", "next_fire"]

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_SINGLE = re.compile(r"\b(\w+)-\1\b(?:/\d+)?", re.IGNORECASE)
_MINUTE = timedelta(minutes=1)
_LONGEST_SHIFT = timedelta(hours=25)
"""The largest change of a clock in history, with margin: Samoa skipped a day."""
_MAX_YEARS = 9
"""A 29th of February comes within eight years."""


def next_fire(expression: str, after: datetime, tz: tzinfo) -> datetime | None:
    """Return the first moment after ``after`` at which ``expression`` is due, in UTC; ``None``: never.

    ``tz`` is the zone of an expression that names none. An expression that is not valid is never due.
    """
    return _next(expression, after.astimezone(UTC), tz)


def fires_between(expression: str, after: datetime, until: datetime, tz: tzinfo) -> Iterator[datetime]:
    """Yield when ``expression`` is due in ``after < t <= until``, in order."""
    at = next_fire(expression, after, tz)
    while at is not None and at <= until:
        yield at
        at = next_fire(expression, at, tz)


@lru_cache(maxsize=8192)
def _next(expression: str, after: datetime, tz: tzinfo) -> datetime | None:
    # Many dags share an expression and all of them ask about the same minute.
    if cron_error(expression):
        return None
    zone, fields = split_zone(expression)
    fields = _plain(fields)
    where = ZoneInfo(zone) if zone else tz
    minute, hour = fields.split()[:2]
    if "*" in (minute[0], hour[0]):
        return _next_of_minutes(fields, after, where)
    return _next_of_times(fields, after, where)


@lru_cache(maxsize=4096)
def _plain(fields: str) -> str:
    """Return the same five fields without what croniter understands differently from every cron.

    To croniter ``2-2`` goes all the way round, ``?`` is a star in day fields only, ``*/1`` is none, and a day
    field that names all its values is one: which turns "both day fields" into "either", and back.
    """
    fields = _SINGLE.sub(r"\1", _ALIASES.get(fields.lower(), fields)).replace("?", "*")
    parts = ["*" if _is_star(field) else field for field in fields.split()]
    day, weekday = croniter.expand(fields)[0][2], croniter.expand(fields)[0][4]
    if "*" not in (parts[2], parts[4]) and ["*"] in (day, weekday):
        parts[2] = parts[4] = "*"
    return " ".join(parts)


def _is_star(field: str) -> bool:
    return field in {"*", "*/1"}


def _next_of_times(fields: str, after: datetime, tz: tzinfo) -> datetime | None:
    """Each wall time once: the first time it is shown, or when the clock has jumped over it."""
    wall = _wall(after, tz)
    if _wall(after - _LONGEST_SHIFT, tz) + _LONGEST_SHIFT != wall:
        # The clock changed a while ago: a wall time before this one may still be to come.
        wall -= _LONGEST_SHIFT
    for found in _walls(fields, wall):
        at = _instant(found, tz)
        if at > after:
            return at
    return None


def _next_of_minutes(fields: str, after: datetime, tz: tzinfo) -> datetime | None:
    """Every minute whose wall time matches, one stretch of unchanged clock after the other."""
    wall = _wall(after, tz)
    while True:
        offset = _wall(after, tz) - _naive(after)
        found = next(_walls(fields, wall), None)
        if found is None:
            return None
        at = (found - offset).replace(tzinfo=UTC)
        if _wall(at, tz) == found:
            return at
        # The clock changes before: go on from the first minute after the change, itself included.
        after = _change(after, at, offset, tz)
        wall = _wall(after, tz) - _MINUTE


def _walls(fields: str, after: datetime) -> Iterator[datetime]:
    """Yield matching wall times after that one (all naive), as if clocks never changed."""
    matches = croniter(fields, after.replace(tzinfo=UTC), max_years_between_matches=_MAX_YEARS)
    try:
        while True:
            yield matches.get_next(datetime).replace(tzinfo=None)
    except (CroniterBadDateError, OverflowError):
        return


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def _wall(at: datetime, tz: tzinfo) -> datetime:
    return at.astimezone(tz).replace(tzinfo=None, fold=0)


def _instant(wall: datetime, tz: tzinfo) -> datetime:
    """Return when the clock first shows ``wall``, or if never, the first moment after it jumped over it."""
    at = wall.replace(tzinfo=tz, fold=0).astimezone(UTC)
    if _wall(at, tz) == wall:
        return at
    before = at - _LONGEST_SHIFT
    return _change(before, at, _wall(before, tz) - _naive(before), tz)


def _change(low: datetime, high: datetime, offset: timedelta, tz: tzinfo) -> datetime:
    """Return the first whole minute in ``low < t <= high`` whose clock is not ``offset`` ahead of UTC."""
    low = low.replace(second=0, microsecond=0)
    while high - low >= 2 * _MINUTE:
        middle = low + timedelta(minutes=int((high - low) / _MINUTE) // 2)
        if _wall(middle, tz) - _naive(middle) == offset:
            low = middle
        else:
            high = middle
    return high
