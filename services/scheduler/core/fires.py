"""Decides which times of a DAG's schedule are due, and whether each fires. Pure functions.

Every scheduled time has exactly one outcome: it is fired, it is skipped (a guard refused it), or it is missed (no
scheduler ran in time, and catch-up does not cover it). A scheduled time is one minute of one kind of schedule, even if
several expressions match that minute.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from shared.language.cron import fires_between, next_fire
from shared.language.model import Catchup, Schedule
from shared.status import RunStatus

__all__ = [
    "RESTART",
    "START",
    "STOP",
    "DueTimes",
    "Fire",
    "LatestRun",
    "Pause",
    "ScheduledTime",
    "decide",
    "due_times",
    "first_fire",
    "first_start",
    "guard",
    "scheduled_run_id",
    "skipped",
]

START, STOP, RESTART = "start", "stop", "restart"
_ORDER = {STOP: 0, RESTART: 1, START: 2}
"""The order of kinds within one minute: kinds that stop runs come first."""

_MINUTE = timedelta(minutes=1)
_IN_TIME = _MINUTE
"""A scheduled time may fire during its whole minute, so that a scheduler's restart in that minute misses nothing."""
_MOST = 500
_WINDOWS = tuple(timedelta(hours=hours) for hours in (1, 6, 24, 24 * 7, 24 * 60, 24 * 366, 24 * 366 * 20))
_NOT_IN_TIME = "no scheduler was running in time"


@dataclass(frozen=True, slots=True)
class ScheduledTime:
    """One due minute. With ``until``, it stands for all due minutes from ``at`` to ``until``, too many to list."""

    kind: str
    at: datetime
    expression: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DueTimes:
    """The scheduled times in an interval, oldest first.

    ``next_fire`` is the first scheduled time after the interval, ``next_start`` the first that starts a run.
    """

    times: tuple[ScheduledTime, ...]
    next_fire: datetime | None
    next_start: datetime | None


@dataclass(frozen=True, slots=True)
class Pause:
    """A past pause. ``catchup``: the catch-up policy for times due in the pause; ``None`` means the DAG's policy."""

    since: datetime
    until: datetime
    by: str
    catchup: str | None = None

    def covers(self, at: datetime) -> bool:
        return self.since <= at < self.until


@dataclass(frozen=True, slots=True)
class Fire:
    """The decision on a scheduled time. ``catchup``: fire late, in the queue. ``guard`` may still skip it."""

    scheduled: ScheduledTime
    verdict: Literal["fire", "catchup", "skipped", "missed"]
    reason: str = ""

    @property
    def acts(self) -> bool:
        """Whether runs are to be started or stopped."""
        return self.verdict in ("fire", "catchup")


@dataclass(frozen=True, slots=True)
class LatestRun:
    """A DAG's newest run, as ``guard`` needs it.

    ``began_at``: when it started or was queued, whichever was earlier. ``scheduled_at``: the scheduled time for which
    it, or a run that it repeats, was started.
    """

    dag_run_id: str
    status: RunStatus
    began_at: datetime
    scheduled_at: datetime | None = None

    def is_of(self, file_name: str, kind: str) -> bool:
        """Return whether it is itself the run of a scheduled time of this kind."""
        at = self.scheduled_at
        return at is not None and self.dag_run_id == scheduled_run_id(file_name, kind, at)


def first_fire(schedule: Schedule, after: datetime, tz: tzinfo) -> datetime | None:
    """Return the first scheduled time of any kind after ``after``."""
    return _first([*schedule.stop, *schedule.restart, *schedule.start], after, tz)


def first_start(schedule: Schedule, after: datetime, tz: tzinfo) -> datetime | None:
    """Return the first scheduled time after ``after`` at which a run starts."""
    return _first(schedule.start, after, tz)


def _first(expressions: Sequence[str], after: datetime, tz: tzinfo) -> datetime | None:
    found = [next_fire(expression, after, tz) for expression in expressions]
    return min((at for at in found if at is not None), default=None)


def due_times(schedule: Schedule, after: datetime, until: datetime, tz: tzinfo) -> DueTimes:
    """Return the scheduled times in ``after < t <= until``: the newest 500 of each kind.

    One ``ScheduledTime`` with ``until`` stands for all older ones of a kind.
    """
    times: list[ScheduledTime] = []
    for kind, expressions in _by_kind(schedule).items():
        found = _newest(kind, expressions, after, until, tz)
        if len(found) >= _MOST:
            kept = found[-_MOST:]
            oldest = min(at for one in expressions if (at := next_fire(one, after, tz)) is not None)
            if oldest < kept[0].at:
                times.append(ScheduledTime(kind, oldest, expressions[0], kept[0].at - _MINUTE))
            found = kept
        times.extend(found)
    times.sort(key=lambda scheduled: (scheduled.at, _ORDER[scheduled.kind]))
    return DueTimes(tuple(times), first_fire(schedule, until, tz), first_start(schedule, until, tz))


def _newest(kind: str, expressions: Sequence[str], after: datetime, until: datetime, tz: tzinfo) -> list[ScheduledTime]:
    """Return the scheduled times of one kind: search ever longer windows before ``until`` for ``_MOST`` of them."""
    found: dict[datetime, ScheduledTime] = {}
    for window in _WINDOWS:
        start = max(after, until - window)
        found = {}
        for expression in expressions:
            for at in fires_between(expression, start, until, tz):
                found.setdefault(at, ScheduledTime(kind, at, expression))
        if len(found) >= _MOST or start == after:
            break
    return sorted(found.values(), key=lambda scheduled: scheduled.at)


def _by_kind(schedule: Schedule) -> Mapping[str, tuple[str, ...]]:
    kinds = {STOP: schedule.stop, RESTART: schedule.restart, START: schedule.start}
    return {kind: expressions for kind, expressions in kinds.items() if expressions}


def decide(
    times: Sequence[ScheduledTime],
    now: datetime,
    catchup: Catchup,
    *,
    suspended: bool = False,
    pauses: Sequence[Pause] = (),
) -> tuple[Fire, ...]:
    """Decide for each scheduled time whether it fires. ``guard`` later checks conditions on the DAG's runs."""
    if suspended:
        return skipped(times)
    in_time = [scheduled for scheduled in times if now - scheduled.at < _IN_TIME and _paused(scheduled, pauses) is None]
    caught_up = _caught_up(times, in_time, now, catchup, pauses)
    fires = []
    for scheduled in times:
        if scheduled in in_time:
            fires.append(Fire(scheduled, "fire"))
        elif scheduled in caught_up:
            fires.append(Fire(scheduled, "catchup", f"caught up: {_why_late(scheduled, pauses)}"))
        else:
            fires.append(Fire(scheduled, "missed", _why_late(scheduled, pauses)))
    return tuple(fires)


def skipped(times: Sequence[ScheduledTime]) -> tuple[Fire, ...]:
    """Decide scheduled times of a suspended DAG."""
    return tuple(Fire(scheduled, "skipped", "the DAG is suspended") for scheduled in times)


def _caught_up(
    times: Sequence[ScheduledTime],
    in_time: Sequence[ScheduledTime],
    now: datetime,
    catchup: Catchup,
    pauses: Sequence[Pause],
) -> set[ScheduledTime]:
    oldest = now - timedelta(seconds=catchup.window_sec)
    late = [
        scheduled
        for scheduled in times
        if scheduled.kind == START and scheduled.until is None and scheduled not in in_time and scheduled.at >= oldest
    ]
    chosen: set[ScheduledTime] = set()
    by_policy: dict[str, list[ScheduledTime]] = {}
    for scheduled in late:
        pause = _paused(scheduled, pauses)
        policy = pause.catchup if pause is not None and pause.catchup is not None else catchup.policy
        by_policy.setdefault(policy, []).append(scheduled)
    chosen.update(by_policy.get("all", [])[-catchup.limit :])
    newest = [scheduled for scheduled in times if scheduled.kind == START][-1:]
    # "latest" catches up only the newest scheduled time: if that one fires in time, none is caught up.
    chosen.update(scheduled for scheduled in by_policy.get("latest", [])[-1:] if [scheduled] == newest)
    return chosen


def _paused(scheduled: ScheduledTime, pauses: Sequence[Pause]) -> Pause | None:
    return next((pause for pause in pauses if pause.covers(scheduled.at)), None)


def _why_late(scheduled: ScheduledTime, pauses: Sequence[Pause]) -> str:
    pause = _paused(scheduled, pauses)
    return _NOT_IN_TIME if pause is None else f"paused by {pause.by}"


def guard(
    scheduled: ScheduledTime,
    latest: LatestRun | None,
    *,
    running: bool,
    skip_if_successful: bool,
    starts: Sequence[str],
    file_name: str,
    tz: tzinfo,
) -> str:
    """Return why a scheduled start must not fire now, or an empty string if it may.

    With ``skipIfSuccessful``, a successful run counts if it began since the previous scheduled time of ``starts``, the
    DAG's start schedule, unless it is the run of that scheduled time: otherwise every second run would be skipped.
    Source: docs/schedules.md#fired-skipped-and-missed-starts.
    """
    if running:
        return "the DAG is already running"
    if latest is None or latest.status in {RunStatus.QUEUED, RunStatus.WAITING}:
        return ""
    began_at = latest.began_at.replace(second=0, microsecond=0)
    if began_at >= scheduled.at:
        return "already finished"
    if skip_if_successful and latest.status is RunStatus.SUCCEEDED:
        since = _previous(starts, scheduled, tz)
        # It may have begun minutes after its time: caught up, or by a busy scheduler.
        if began_at >= since and not latest.is_of(file_name, START):
            return f"already successful since the last scheduled time: run {latest.dag_run_id}"
    return ""


def _previous(starts: Sequence[str], scheduled: ScheduledTime, tz: tzinfo) -> datetime:
    """Return the last scheduled time before ``scheduled``, or its own time if there is none."""
    until = scheduled.at - _MINUTE
    for window in _WINDOWS:
        if found := [at for expression in starts for at in fires_between(expression, until - window, until, tz)]:
            return max(found)
    return scheduled.at


def scheduled_run_id(file_name: str, kind: str, at: datetime) -> str:
    """Return the id of the run of a scheduled time. The id is deterministic, so the time cannot fire twice."""
    digest = hashlib.sha256(f"{kind} {file_name}".encode()).hexdigest()[:8]
    return f"sched-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"
