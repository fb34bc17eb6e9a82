"""When the runs of a queue ran, and the admissions that exceeded its limit. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

__all__ = ["RunningTime", "admissions_over"]

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RunningTime:
    """A time in which a run was running. ``until`` is ``None`` if it still is. ``admitted``: it left its queue then."""

    run_key: str
    since: datetime
    until: datetime | None
    admitted: bool
    limit: int

    def covers(self, at: datetime, margin: timedelta) -> bool:
        """Whether the run certainly ran at that time, if clocks and commits differ by less than ``margin``.

        A run that was started directly ignores the limit, so it may have begun just after an admission.
        """
        begun = self.since <= at if self.admitted else self.since + margin < at
        return begun and (self.until is None or self.until - margin > at)

    def may_cover(self, at: datetime, margin: timedelta) -> bool:
        return self.since - margin <= at and (self.until is None or self.until + margin >= at)


def admissions_over(
    limit: int | None,
    spans: Sequence[RunningTime],
    callers: Mapping[str, str | None],
    margin: timedelta,
    *,
    since: datetime,
) -> Iterator[tuple[RunningTime, int, int]]:
    """Yield each admission at which too many runs of a queue ran, oldest first, with how many ran and how many may.

    ``limit``: that of the queue, or ``None`` if each run has its own. ``callers``: by the key of a run, the key of the
    run that called it, also in another queue. ``since``: earlier admissions are not judged.
    """
    least = limit if limit is not None else min((span.limit for span in spans), default=1)
    for admission in _perhaps_over(spans, margin, max(1, least), since):
        running = _without_lenders(spans, callers, admission.since, margin)
        allowed = limit if limit is not None else max((span.limit for span in running), default=1)
        if len(running) > max(1, allowed) and not _may_have_borrowed(admission, spans, callers, margin):
            yield admission, len(running), allowed


def _perhaps_over(
    spans: Iterable[RunningTime], margin: timedelta, limit: int, since: datetime
) -> Iterator[RunningTime]:
    """Yield the admissions at which more than ``limit`` runs ran, with those that lent their places, oldest first.

    It is one pass: to judge each admission among all runs of a day would take hours for a busy queue.
    """
    ordered = sorted(spans, key=lambda span: span.since)
    begun = 0
    ends: list[datetime] = []
    for admission in ordered:
        while begun < len(ordered) and ordered[begun].since <= admission.since:
            heappush(ends, ordered[begun].until or _NEVER)
            begun += 1
        while ends and ends[0] <= admission.since + margin:
            heappop(ends)
        if admission.admitted and admission.since >= since and len(ends) > limit:
            yield admission


def _without_lenders(
    spans: Iterable[RunningTime], callers: Mapping[str, str | None], at: datetime, margin: timedelta
) -> list[RunningTime]:
    """Return the runs that certainly ran then and had a place of their own: none below them ran in the same queue."""
    lenders = {above for span in spans if span.may_cover(at, margin) for above in _above(span.run_key, callers)}
    return [span for span in spans if span.covers(at, margin) and span.run_key not in lenders]


def _may_have_borrowed(
    admission: RunningTime, spans: Iterable[RunningTime], callers: Mapping[str, str | None], margin: timedelta
) -> bool:
    """Whether a sub-run may have begun in the place of a run above it, which it may however full the queue is.

    A run lends its place to one sub-run: not if another one below it certainly ran in the same queue.
    """
    at = admission.since
    above = set(_above(admission.run_key, callers))
    lenders = {span.run_key for span in spans if span.run_key in above and span.may_cover(at, margin)}
    for span in spans:
        if span is not admission and span.covers(at, margin):
            lenders.difference_update(_above(span.run_key, callers))
    return bool(lenders)


def _above(run_key: str, callers: Mapping[str, str | None]) -> Iterator[str]:
    """Yield the keys of the runs that called a run, directly or not."""
    above = callers.get(run_key)
    while above is not None:
        yield above
        above = callers.get(above)
