"""Schedules over a simulated year: the outcome of each scheduled time equals the one of an independent model."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.scheduler.core.fires import (
    LatestRun,
    Pause,
    ScheduledTime,
    decide,
    due_times,
    first_fire,
    guard,
    scheduled_run_id,
)
from shared.language import cron
from shared.language.model import Catchup, Schedule
from shared.status import RunStatus

YEAR = datetime(2027, 1, 1, tzinfo=UTC)
TZ = ZoneInfo("UTC")
MINUTE = timedelta(minutes=1)


@dataclass
class Dag:
    """A schedule with its state, and the same schedule as sets of numbers, for the independent model."""

    schedule: Schedule
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    weekdays: tuple[int, ...]
    catchup: Catchup
    decided_until: datetime = YEAR
    next_fire: datetime | None = None
    ledger: dict[datetime, str] = field(default_factory=dict)

    def all_times(self, until: datetime) -> Iterator[datetime]:
        """Return all scheduled times by testing each hour of each day: the independent model."""
        day = date(2027, 1, 1)
        while day <= until.date():
            if day.isoweekday() % 7 in self.weekdays:
                for hour in self.hours:
                    for minute in self.minutes:
                        at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                        if YEAR < at <= until:
                            yield at
            day += timedelta(days=1)


def random_dag(dice: random.Random) -> Dag:
    minutes = tuple(sorted(dice.sample(range(60), dice.choice([1, 1, 2]))))
    hours = tuple(sorted(dice.sample(range(24), dice.choice([1, 1, 1, 2]))))
    weekdays = tuple(sorted(dice.sample(range(7), dice.choice([1, 1, 2, 3]))))
    expression = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * {','.join(map(str, weekdays))}"
    catchup = Catchup(policy=dice.choice(["none", "none", "latest", "all"]), limit=dice.randint(1, 4))
    made = Dag(Schedule(start=(expression,)), minutes, hours, weekdays, catchup)
    made.next_fire = first_fire(made.schedule, YEAR, TZ)
    return made


def outages(dice: random.Random) -> list[tuple[datetime, datetime, bool]]:
    """Return ``(from, to, paused)``: periods without a scheduler's pass, by kills, clock jumps or pauses."""
    found = []
    at = YEAR
    while at < YEAR + timedelta(days=365):
        at += timedelta(minutes=dice.randint(60, 15 * 24 * 60))
        end = at + timedelta(seconds=dice.choice([20, 50, 90, 3600, 86_400, 5 * 86_400]))
        found.append((at, end, dice.random() < 0.3))
        at = end
    return found


def step(dag: Dag, now: datetime, pauses: tuple[Pause, ...]) -> None:
    """Do what a scheduler does with a due DAG, without a database."""
    if dag.next_fire is None or dag.next_fire > now:
        return
    seen = due_times(dag.schedule, dag.decided_until, now, TZ)
    for fire in decide(seen.times, now, dag.catchup, pauses=pauses):
        assert fire.scheduled.at not in dag.ledger, "decided twice"
        dag.ledger[fire.scheduled.at] = fire.verdict
    dag.decided_until, dag.next_fire = max(dag.decided_until, now), seen.next_fire


def expected_of(dag: Dag, away: list[tuple[datetime, datetime, bool]], until: datetime) -> dict[datetime, str]:
    every = list(dag.all_times(until))
    expected = dict.fromkeys(every, "fire")
    for start, end, paused in away:
        if end > until:
            continue
        # A scheduled time less than a minute old still fires when a scheduler comes back, unless it was paused.
        late = [at for at in every if start <= at < end and (paused or end - at >= MINUTE)]
        expected.update(dict.fromkeys(late, "missed"))
        fires_now = [at for at in every if start <= at <= end and at not in late]
        fresh = [at for at in late if at >= end - timedelta(seconds=dag.catchup.window_sec)]
        # Nobody is there until the dag is due again or somebody comes back, whichever is decided first: at ``end``.
        if dag.catchup.policy == "all":
            expected.update(dict.fromkeys(fresh[-dag.catchup.limit :], "catchup"))
        elif dag.catchup.policy == "latest" and fresh and not fires_now:
            expected[fresh[-1]] = "catchup"
    return expected


def test_a_year_of_schedules_with_kills_pauses_and_jumps_equals_the_oracle() -> None:
    assert simulate_a_year(schedules=20, seed=20270101).total() > 1000
    assert simulate_a_year(schedules=1, seed=1014).total() > 100, "with a scheduled time at the year's last moment"


def simulate_a_year(*, schedules: int, seed: int) -> Counter[str]:
    """Compare a simulated year with the model; return the number of fires by outcome.

    The benchmark ``bench.schedules`` calls it with 500 DAGs.
    """
    dice = random.Random(seed)
    away = outages(dice)
    until = YEAR + timedelta(days=365)
    pauses = tuple(Pause(start, end, "ann") for start, end, paused in away if paused)
    decided: Counter[str] = Counter()
    for _ in range(schedules):
        dag = random_dag(dice)
        for start, end, _paused in away:
            while dag.next_fire is not None and dag.next_fire < min(start, until):
                step(dag, dag.next_fire + timedelta(seconds=dice.random()), pauses)
                step(dag, dag.decided_until - timedelta(hours=2), pauses)  # a clock that went back
            if end > until:
                break
            step(dag, end, pauses)
        else:
            while dag.next_fire is not None and dag.next_fire <= until:
                step(dag, dag.next_fire, pauses)
        # The last moment is nobody's: whether somebody is there then depends on what comes after.
        last = min([until, *(start for start, end, _ in away if end > until)])
        expected = {at: what for at, what in expected_of(dag, away, until).items() if at < last}
        assert {at: what for at, what in dag.ledger.items() if at < last} == expected, dag.schedule
        decided.update(expected.values())
    return decided


def test_of_one_minute_stops_come_first_and_a_minute_named_twice_is_one_scheduled_time() -> None:
    schedule = Schedule(start=("0 * * * *", "*/30 * * * *"), stop=("0 * * * *",), restart=("0 * * * *",))

    found = due_times(schedule, YEAR - MINUTE, YEAR, TZ)

    assert [scheduled.kind for scheduled in found.times] == ["stop", "restart", "start"]
    assert found.next_fire == YEAR + timedelta(minutes=30)


def test_stops_and_restarts_are_never_made_up_for() -> None:
    late = [ScheduledTime(kind, YEAR, "0 0 * * *") for kind in ("stop", "restart", "start")]

    fires = decide(late, YEAR + timedelta(hours=1), Catchup(policy="all"))

    assert [fire.verdict for fire in fires] == ["missed", "missed", "catchup"]


def test_how_a_pause_ended_decides_before_the_dag_does() -> None:
    times = [ScheduledTime("start", YEAR + timedelta(hours=hour), "0 * * * *") for hour in range(4)]
    pause = Pause(YEAR + timedelta(hours=1), YEAR + timedelta(hours=3, minutes=1), "ann", "latest")

    fires = decide(times, YEAR + timedelta(hours=3, seconds=59), Catchup(policy="none"), pauses=[pause])

    assert [fire.verdict for fire in fires] == ["missed", "missed", "missed", "catchup"]


YESTERDAY = YEAR - timedelta(days=1)
OWN = scheduled_run_id("f", "start", YESTERDAY)


@pytest.mark.parametrize(
    ("latest", "running", "why"),
    [
        (None, True, "the DAG is already running"),
        (None, False, ""),
        (LatestRun("r", RunStatus.FAILED, YEAR + timedelta(seconds=20)), False, "already finished"),
        (LatestRun("r", RunStatus.QUEUED, YEAR + timedelta(seconds=20)), False, ""),
        (LatestRun("r", RunStatus.FAILED, YEAR - timedelta(hours=1)), False, ""),
        (
            LatestRun("r", RunStatus.SUCCEEDED, YEAR - timedelta(hours=1)),
            False,
            "already successful since the last scheduled time: run r",
        ),
        (LatestRun("r", RunStatus.PARTIALLY_SUCCEEDED, YEAR - timedelta(hours=1)), False, ""),
        (LatestRun("r", RunStatus.SUCCEEDED, YEAR - timedelta(hours=25)), False, ""),
        (LatestRun(OWN, RunStatus.SUCCEEDED, YESTERDAY, YESTERDAY), False, ""),
        (LatestRun(OWN, RunStatus.SUCCEEDED, YESTERDAY + timedelta(minutes=1), YESTERDAY), False, ""),
        (
            LatestRun("r", RunStatus.SUCCEEDED, YESTERDAY + timedelta(minutes=1), YESTERDAY),
            False,
            "already successful since the last scheduled time: run r",
        ),
    ],
)
def test_guards_skip_scheduled_times(latest: LatestRun | None, running: bool, why: str) -> None:
    scheduled = ScheduledTime("start", YEAR, "0 0 * * *")

    starts = [scheduled.expression]
    found = guard(scheduled, latest, running=running, skip_if_successful=True, starts=starts, file_name="f", tz=TZ)
    assert found == why


@pytest.mark.parametrize(
    ("starts", "at", "began_at", "skipped"),
    [
        # From Friday it is three days to the next time, and one to the last.
        (["0 6 * * MON-FRI"], "2026-11-27 06:00", "2026-11-26 05:00", False),
        (["0 6 * * MON-FRI"], "2026-11-27 06:00", "2026-11-26 06:00", True),
        (["0 6 * * MON-FRI"], "2026-11-30 06:00", "2026-11-27 07:00", True),
        (["0 6 * * MON-FRI"], "2026-11-30 06:00", "2026-11-27 05:00", False),
        (["0 0 1 * *"], "2026-03-01 00:00", "2026-01-30 00:00", False),
        (["0 6 * * *", "0 18 * * *"], "2026-11-27 18:00", "2026-11-26 20:00", False),
        (["0 6 * * *", "0 18 * * *"], "2026-11-27 18:00", "2026-11-27 07:00", True),
        (["CRON_TZ=Europe/Paris 0 6 * * *"], "2026-10-24 04:00", "2026-10-23 03:30", False),
        (["* * * * *"], "2026-11-27 18:00", "2026-11-27 17:58", False),
    ],
)
def test_a_success_counts_since_the_scheduled_time_before(
    starts: list[str], at: str, began_at: str, skipped: bool
) -> None:
    due, began = (datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (at, began_at))
    scheduled, latest = ScheduledTime("start", due, starts[-1]), LatestRun("r", RunStatus.SUCCEEDED, began)

    why = guard(scheduled, latest, running=False, skip_if_successful=True, starts=starts, file_name="f", tz=TZ)
    assert bool(why) == skipped


def test_a_yearly_time_beside_frequent_ones_takes_no_search_of_the_whole_year() -> None:
    starts = ["0 0 1 1 *", "* * * * *"]
    scheduled, latest = ScheduledTime("start", YEAR, starts[0]), LatestRun("r", RunStatus.SUCCEEDED, YEAR - 2 * MINUTE)
    before = cron._next.cache_info().misses

    assert not guard(scheduled, latest, running=False, skip_if_successful=True, starts=starts, file_name="f", tz=TZ)
    assert cron._next.cache_info().misses - before < 1000
