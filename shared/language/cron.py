"""Computes when a cron expression is due: croniter finds matching wall times, and our rules handle clock changes.

If neither the minute nor the hour field begins with ``*`` (``30 2 * * *``), the expression fires once for each matching
wall time. If the clock goes back and shows that time twice, it fires the first time. If the clock skips that time, it
fires at the first moment after the skip. Any other expression (``*/20 * * * *``) fires in every minute whose wall time
matches: in both passes of a repeated hour, and not at all in skipped minutes.

Source: cron(8) of Debian, "daylight saving time and other time changes"; docs/schedules.md.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.language.schedule import CRON_ALIASES, cron_error, split_zone

if TYPE_CHECKING:
    from croniter import croniter

__all__ = ["fires_between", "next_fire", "next_fires"]

_SINGLE = re.compile(r"\b(\w+)-\1\b(?:/\d+)?", re.IGNORECASE)
_MINUTE = timedelta(minutes=1)
_LONGEST_SHIFT = timedelta(hours=25)
"""More than the largest clock change in history: Samoa skipped a day."""
_SHORTEST_PERIOD = timedelta(days=6)
"""Less than any zone has kept its UTC offset: a week, in Brazil in 2000."""
_MAX_YEARS = 9
"""How many years to search for a match. The 29th of February is at most eight years away."""


def next_fire(expression: str, after: datetime, tz: tzinfo) -> datetime | None:
    """Return the first time after ``after`` at which ``expression`` is due, in UTC, or ``None`` if it is never due.

    ``tz`` is the time zone if the expression has none. An invalid expression is never due.
    """
    return _next(expression, after.astimezone(UTC), tz)


def fires_between(expression: str, after: datetime, until: datetime, tz: tzinfo) -> Iterator[datetime]:
    """Yield the times ``after < t <= until`` at which ``expression`` is due, in order."""
    at = next_fire(expression, after, tz)
    while at is not None and at <= until:
        yield at
        at = next_fire(expression, at, tz)


def next_fires(expressions: Sequence[str], after: datetime, tz: tzinfo, most: int = 5) -> list[datetime]:
    """Return the first ``most`` times after ``after`` at which one of ``expressions`` is due, in order."""
    found: list[datetime] = []
    # Finding a time is slow: each is found once, not again for every time of another expression.
    due = {expression: next_fire(expression, after, tz) for expression in expressions}
    while len(found) < most:
        first = min((at for at in due.values() if at is not None), default=None)
        if first is None:
            break
        found.append(first)
        due |= {expression: next_fire(expression, first, tz) for expression, at in due.items() if at == first}
    return found


@lru_cache(maxsize=8192)
def _next(expression: str, after: datetime, tz: tzinfo) -> datetime | None:
    # Cached, because many DAGs have the same expression and ask for the same minute.
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
    """Rewrite the five fields so that croniter interprets them as cron does.

    croniter differs in these cases: it reads ``2-2`` as all values, ``?`` as ``*`` in day fields only, and does not
    treat ``*/1`` as ``*``, but does treat a day field that lists all its values as ``*``. Whether a day field is ``*``
    decides whether a day must match both day fields or either of them.
    """
    fields = _SINGLE.sub(r"\1", CRON_ALIASES.get(fields.lower(), fields)).replace("?", "*")
    parts = ["*" if _is_star(field) else field for field in fields.split()]
    from croniter import croniter  # noqa: PLC0415 - as in ``_walls``

    day, weekday = croniter.expand(fields)[0][2], croniter.expand(fields)[0][4]
    if "*" not in (parts[2], parts[4]) and ["*"] in (day, weekday):
        parts[2] = parts[4] = "*"
    return " ".join(parts)


def _is_star(field: str) -> bool:
    return field in {"*", "*/1"}


def _next_of_times(fields: str, after: datetime, tz: tzinfo) -> datetime | None:
    """Return the next time, with each wall time used once: when it is first shown, or when the clock skips it."""
    wall = _wall(after, tz)
    if _wall(after - _LONGEST_SHIFT, tz) + _LONGEST_SHIFT != wall:
        # The clock changed recently: a wall time before this one may still be due.
        wall -= _LONGEST_SHIFT
    for found in _walls(fields, wall):
        at = _instant(found, tz)
        if at > after:
            return at
    return None


def _next_of_minutes(fields: str, after: datetime, tz: tzinfo) -> datetime | None:
    """Return the next minute whose wall time matches, searching one period of constant UTC offset after the other."""
    wall = _wall(after, tz)
    while True:
        offset = _wall(after, tz) - _naive(after)
        found = next(_walls(fields, wall), None)
        if found is None:
            return None
        at = (found - offset).replace(tzinfo=UTC)
        changed = _first_change(after, at, offset, tz)
        if changed is None:
            return at
        # The clock changes before that: search again from the first minute after the change, inclusive.
        after = changed
        wall = _wall(after, tz) - _MINUTE


def _walls(fields: str, after: datetime) -> Iterator[datetime]:
    """Yield matching wall times after ``after`` (all naive), as if the clock never changed."""
    from croniter import CroniterBadDateError  # noqa: PLC0415 - a server may have no schedule, and the import starts a process

    # A copy, because matches are counted from a position that it holds.
    matches = copy.copy(_parsed(fields))
    matches.set_current(after.replace(tzinfo=UTC))
    try:
        while True:
            yield matches.get_next(datetime).replace(tzinfo=None)
    except (CroniterBadDateError, OverflowError):
        return


@lru_cache(maxsize=4096)
def _parsed(fields: str) -> "croniter":
    """Return the parsed fields. Parsing takes longer than finding a match."""
    from croniter import croniter  # noqa: PLC0415 - as in ``_walls``

    return croniter(fields, datetime.min.replace(tzinfo=UTC), max_years_between_matches=_MAX_YEARS)


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def _wall(at: datetime, tz: tzinfo) -> datetime:
    return at.astimezone(tz).replace(tzinfo=None, fold=0)


def _instant(wall: datetime, tz: tzinfo) -> datetime:
    """Return the time when the clock first shows ``wall``, or if it skips ``wall``, the first moment after the skip."""
    at = wall.replace(tzinfo=tz, fold=0).astimezone(UTC)
    if _wall(at, tz) == wall:
        return at
    before = at - _LONGEST_SHIFT
    return _change(before, at, _wall(before, tz) - _naive(before), tz)


def _first_change(after: datetime, until: datetime, offset: timedelta, tz: tzinfo) -> datetime | None:
    """Return the first minute in ``after < t <= until`` whose UTC offset is not ``offset``, or ``None``.

    It is not enough to look at ``until``: after two changes the offset is the same again, and the hour that the second
    one repeats has the same wall times before it.
    """
    while after < until:
        upto = min(after + _SHORTEST_PERIOD, until)
        if _wall(upto, tz) - _naive(upto) != offset:
            return _change(after, upto, offset, tz)
        after = upto
    return None


def _change(low: datetime, high: datetime, offset: timedelta, tz: tzinfo) -> datetime:
    """Return the first whole minute in ``low < t <= high`` whose UTC offset is not ``offset``."""
    low = low.replace(second=0, microsecond=0)
    while high - low >= 2 * _MINUTE:
        middle = low + timedelta(minutes=int((high - low) / _MINUTE) // 2)
        if _wall(middle, tz) - _naive(middle) == offset:
            low = middle
        else:
            high = middle
    return high
