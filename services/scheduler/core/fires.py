"""Slots: which moments of a dag's schedule are due, and what becomes of each. Pure.

Every slot gets exactly one answer: it fires, it is skipped (a guard said no), or it is missed
(nobody was there in time, and it is not made up for). A slot is one minute of one kind of schedule,
however many expressions name it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from services.scheduler.core.cron import fires_between, next_fire
from shared.language.model import Catchup, Schedule

__all__ = [
    "RESTART",
    "START",
    "STOP",
    "Answer",
    "Latest",
    "Look",
    "Pause",
    "Slot",
    "decide",
    "first_fire",
    "first_start",
    "guard",
    "look",
    "slot_run_id",
]

START, STOP, RESTART = "start", "stop", "restart"
_ORDER = {STOP: 0, RESTART: 1, START: 2}
"""Of one minute: what ends runs comes first."""

_MINUTE = timedelta(minutes=1)
_IN_TIME = _MINUTE
"""A slot may still fire in its own minute: a restart at the minute's edge loses nothing."""
_MOST = 500
_WINDOWS = tuple(timedelta(hours=hours) for hours in (1, 6, 24, 24 * 7, 24 * 60, 24 * 366, 24 * 366 * 20))
_NOT_IN_TIME = "no scheduler was there in time"


@dataclass(frozen=True, slots=True)
class Slot:
    """One due minute. With ``until``: this and all later ones up to there, too many to be named."""

    kind: str
    at: datetime
    expression: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What is due in an interval, oldest first, the first slot after it, and the first of those that starts a run."""

    slots: tuple[Slot, ...]
    next_fire: datetime | None
    next_start: datetime | None


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which nothing was fired, by whom, and what shall be made up for (``None``: as the dag says)."""

    since: datetime
    until: datetime
    by: str
    catchup: str | None = None

    def covers(self, at: datetime) -> bool:
        return self.since <= at < self.until


@dataclass(frozen=True, slots=True)
class Answer:
    """``outcome``: fire, catchup (fire late, through the queue), skipped or missed."""

    slot: Slot
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Latest:
    """A dag's newest run, as the guards see it. ``began_at``: started, or queued if that was earlier."""

    dag_run_id: str
    status: str
    began_at: datetime


def first_fire(schedule: Schedule, after: datetime, tz: tzinfo) -> datetime | None:
    """Return the first slot of any kind after that moment."""
    return _first([expression for _, expression in _expressions(schedule)], after, tz)


def first_start(schedule: Schedule, after: datetime, tz: tzinfo) -> datetime | None:
    """Return the first slot after that moment at which a run begins."""
    return _first(schedule.start, after, tz)


def _first(expressions: Sequence[str], after: datetime, tz: tzinfo) -> datetime | None:
    found = [next_fire(expression, after, tz) for expression in expressions]
    return min((at for at in found if at is not None), default=None)


def look(schedule: Schedule, after: datetime, until: datetime, tz: tzinfo, *, most: int = _MOST) -> Look:
    """Return the slots in ``after < t <= until``: the newest ``most`` of each kind, older ones as one."""
    slots: list[Slot] = []
    for kind, expressions in _by_kind(schedule).items():
        found = _newest(kind, expressions, after, until, tz, most=most)
        if len(found) >= most:
            kept = found[-most:]
            oldest = min(at for one in expressions if (at := next_fire(one, after, tz)) is not None)
            if oldest < kept[0].at:
                slots.append(Slot(kind, oldest, expressions[0], kept[0].at - _MINUTE))
            found = kept
        slots.extend(found)
    slots.sort(key=lambda slot: (slot.at, _ORDER[slot.kind]))
    return Look(tuple(slots), first_fire(schedule, until, tz), first_start(schedule, until, tz))


def _newest(
    kind: str, expressions: Sequence[str], after: datetime, until: datetime, tz: tzinfo, *, most: int
) -> list[Slot]:
    """Look back further and further until there are enough."""
    found: dict[datetime, Slot] = {}
    for window in _WINDOWS:
        start = max(after, until - window)
        found = {}
        for expression in expressions:
            for at in fires_between(expression, start, until, tz):
                found.setdefault(at, Slot(kind, at, expression))
        if len(found) >= most or start == after:
            break
    return sorted(found.values(), key=lambda slot: slot.at)


def _by_kind(schedule: Schedule) -> Mapping[str, tuple[str, ...]]:
    kinds = {STOP: schedule.stop, RESTART: schedule.restart, START: schedule.start}
    return {kind: expressions for kind, expressions in kinds.items() if expressions}


def _expressions(schedule: Schedule) -> list[tuple[str, str]]:
    return [(kind, expression) for kind, expressions in _by_kind(schedule).items() for expression in expressions]


def decide(
    slots: Sequence[Slot], now: datetime, catchup: Catchup, *, suspended: bool = False, pauses: Sequence[Pause] = ()
) -> tuple[Answer, ...]:
    """Answer for each slot whether it may fire; guards that need to know the dag's runs come after."""
    if suspended:
        return tuple(Answer(slot, "skipped", "the DAG is suspended") for slot in slots)
    in_time = [slot for slot in slots if now - slot.at < _IN_TIME and _paused(slot, pauses) is None]
    made_up = _made_up(slots, in_time, now, catchup, pauses)
    answers = []
    for slot in slots:
        if slot in in_time:
            answers.append(Answer(slot, "fire"))
        elif slot in made_up:
            answers.append(Answer(slot, "catchup", f"made up for: {_why_late(slot, pauses)}"))
        else:
            answers.append(Answer(slot, "missed", _why_late(slot, pauses)))
    return tuple(answers)


def _made_up(
    slots: Sequence[Slot], in_time: Sequence[Slot], now: datetime, catchup: Catchup, pauses: Sequence[Pause]
) -> set[Slot]:
    oldest = now - timedelta(seconds=catchup.window_sec)
    late = [
        slot
        for slot in slots
        if slot.kind == START and slot.until is None and slot not in in_time and slot.at >= oldest
    ]
    chosen: set[Slot] = set()
    by_policy: dict[str, list[Slot]] = {}
    for slot in late:
        pause = _paused(slot, pauses)
        policy = pause.catchup if pause is not None and pause.catchup is not None else catchup.policy
        by_policy.setdefault(policy, []).append(slot)
    chosen.update(by_policy.get("all", [])[-catchup.limit :])
    newest = [slot for slot in slots if slot.kind == START][-1:]
    # Where a newer one fires anyway there is nothing to make up for.
    chosen.update(slot for slot in by_policy.get("latest", [])[-1:] if [slot] == newest)
    return chosen


def _paused(slot: Slot, pauses: Sequence[Pause]) -> Pause | None:
    return next((pause for pause in pauses if pause.covers(slot.at)), None)


def _why_late(slot: Slot, pauses: Sequence[Pause]) -> str:
    pause = _paused(slot, pauses)
    return _NOT_IN_TIME if pause is None else f"paused by {pause.by}"


def guard(
    slot: Slot, latest: Latest | None, *, running: bool, skip_if_successful: bool, file_name: str, tz: tzinfo
) -> str:
    """Return why a start slot must not fire now; empty: it may.

    Source: workflow language, section 6.2. A success counts for ``skipIfSuccessful`` if it began since
    the slot before, but not if it is that slot's own run: or else every second slot would be skipped.
    """
    if running:
        return "job already running"
    if latest is None or latest.status in {"queued", "waiting"}:
        return ""
    began_at = latest.began_at.replace(second=0, microsecond=0)
    if began_at >= slot.at:
        return "already finished"
    if skip_if_successful and latest.status == "succeeded":
        following = next_fire(slot.expression, slot.at, tz)
        since = slot.at - (following - slot.at) if following is not None else slot.at
        scheduled = latest.dag_run_id == slot_run_id(file_name, START, began_at)
        if began_at >= since and not scheduled:
            return f"already successful since the last slot: run {latest.dag_run_id}"
    return ""


def slot_run_id(file_name: str, kind: str, at: datetime) -> str:
    """Return the id of the run of a slot: always the same, so that it cannot be fired twice."""
    digest = hashlib.sha256(f"{kind} {file_name}".encode()).hexdigest()[:8]
    return f"sched-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"
