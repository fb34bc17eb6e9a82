"""An oracle for cron: it walks through real minutes one by one and knows nothing of croniter."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

__all__ = ["Oracle"]

_MINUTE = timedelta(minutes=1)
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class _Field:
    values: frozenset[int]
    star: bool
    """Written as any value."""
    stepped: bool
    """Written as any value, or every n-th of all."""


def _number(text: str, index: int) -> int:
    names = {3: _MONTHS, 4: _DAYS}.get(index, ())
    return names.index(text.lower()) + (index == 3) if text.lower() in names else int(text)


def _field(text: str, index: int) -> _Field:
    low, high = _RANGES[index]
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span in {"*", "?"}:
            first, last = low, high - (index == 4)
        elif "-" in span:
            first, last = (_number(end, index) for end in span.split("-"))
        else:
            first = _number(span, index)
            last = high if step else first
        values.update(range(first, last + 1, int(step or 1)))
    if index == 4 and 7 in values:
        values = (values - {7}) | {0}
    return _Field(frozenset(values), text in {"*", "?", "*/1", "?/1"}, text[0] in "*?")


class Oracle:
    """One expression in one zone."""

    def __init__(self, expression: str, tz: tzinfo) -> None:
        self._minute, self._hour, self._day, self._month, self._weekday = (
            _field(text, index) for index, text in enumerate(expression.split())
        )
        self._tz = tz
        self._fixed = not (self._minute.stepped or self._hour.stepped)

    def _day_matches(self, at: datetime) -> bool:
        if at.month not in self._month.values:
            return False
        day = at.day in self._day.values
        weekday = at.isoweekday() % 7 in self._weekday.values
        return (day or weekday) if not (self._day.star or self._weekday.star) else (day and weekday)

    def _matches(self, wall: datetime) -> bool:
        return wall.minute in self._minute.values and wall.hour in self._hour.values and self._day_matches(wall)

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the moments due in ``after < t <= until``; looks at every minute, and one day before."""
        first = after.astimezone(UTC).replace(second=0, microsecond=0) - timedelta(days=2)
        shown = _shown(first, until, self._tz)
        shown_until = shown[0][1] - _MINUTE
        for at, wall in shown:
            due = False
            if self._fixed:
                # All wall times from the last one shown to this one: several where the clock jumped.
                while shown_until < wall:
                    shown_until += _MINUTE
                    due = due or self._matches(shown_until)
            else:
                due = self._matches(wall)
            if due and at > after:
                yield at


@lru_cache(maxsize=16)
def _shown(first: datetime, last: datetime, tz: tzinfo) -> tuple[tuple[datetime, datetime], ...]:
    """Return each minute from ``first`` to ``last`` with the wall time that is shown then.

    Cached, because many expressions are tried on the same days, and most of the walk is these conversions.
    """
    count = (last - first) // _MINUTE + 1
    minutes = (first + number * _MINUTE for number in range(count))
    return tuple((at, at.astimezone(tz).replace(tzinfo=None, fold=0)) for at in minutes)
