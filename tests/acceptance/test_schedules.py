"""Cases of schedules, with real runs. The scheduler's clock stops just before midnight until all cases are set up."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.contracts import commands as c
from shared.store import tables as t
from tests.acceptance.world import Case, World
from tests.harness.eventually import eventually

BEFORE = datetime(2026, 11, 24, 23, 59, 58, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
LONG = "steps: [{name: long, command: sleep 600}, {name: after, command: echo after}]"
SPECS = {
    "A15": "schedule: {start: ['0 0 * * *', '0 1 * * *'], stop: '0 2 * * *'}\nsteps: [echo hi]",
    "A16": "schedule: 'CRON_TZ=Asia/Tokyo 0 9 * * *'\nsteps: [echo hi]",
    "A16-other-zone": "schedule: 'CRON_TZ=Asia/Tokyo 0 0 * * *'\nsteps: [echo hi]",
    "A17": "schedule: '0 * * * *'\nskipIfSuccessful: true\nsteps: [echo hi]",
    "A17-failed": "schedule: '0 * * * *'\nskipIfSuccessful: true\nsteps: [exit 1]",
    "A18": "schedule: '* * * * *'\nsteps: [echo hi]",
    "A19": "schedule: {stop: '0 0 * * *'}\nhandlerOn: {abort: {command: echo stopped}}\n" + LONG,
    "A82": "schedule: {restart: '0 0 * * *'}\nrestartWaitSec: 1\n" + LONG,
}


class Clock:
    """A clock that stops at ``BEFORE``, and runs on from there later."""

    def __init__(self) -> None:
        self._began: float | None = None

    def __call__(self) -> datetime:
        began = self._began
        return BEFORE if began is None else BEFORE + timedelta(seconds=time.monotonic() - began)

    def go_on(self) -> None:
        self._began = time.monotonic()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(deployment: tuple[str, str], tmp_path: Path, clock: Clock) -> Iterator[World]:
    made = World(*deployment, tmp_path / "world", clock=clock)
    yield made
    made.close()


def slots(world: World, row: str) -> list[tuple[str, str, datetime]]:
    """Return kind, outcome and scheduled time of the row's fires at midnight."""
    found = world.rows(t.cron_slots, file_name=row.lower())
    return [(one["kind"], one["outcome"], one["slot_at"]) for one in found if one["slot_at"] == MIDNIGHT]


def runs(world: World, row: str) -> list[str]:
    """Return the ids of all runs of the row, those started by hand first."""
    rows = world.rows(t.dag_runs, dag_name=row.lower())
    return [one["dag_run_id"] for one in sorted(rows, key=lambda one: one["created_at"])]


def case(row: str) -> Case:
    return Case(row, "", SPECS[row], lambda _: None)


def fired(world: World, row: str, *by_hand: str) -> None:
    assert slots(world, row) == [("start", "fired", MIDNIGHT)]
    first = runs(world, row)
    assert first[:-1] == list(by_hand)
    world.until(case(row), run_id=first[-1])


def fires_at_midnight(world: World) -> None:
    fired(world, "A15")
    (row,) = world.rows(t.schedules, file_name="a15")
    assert row["next_start_at"] == MIDNIGHT + timedelta(hours=1)


def fires_in_its_own_time_zone(world: World) -> None:
    fired(world, "A16")
    assert slots(world, "A16-other-zone") == []
    (row,) = world.rows(t.schedules, file_name="a16-other-zone")
    assert row["next_start_at"] == MIDNIGHT + timedelta(hours=15)


def skips_after_success(world: World) -> None:
    assert slots(world, "A17") == [("start", "skipped", MIDNIGHT)]
    assert runs(world, "A17") == ["run-a17"]
    fired(world, "A17-failed", "run-a17-failed")


def suspended_dag_is_skipped(world: World) -> None:
    assert slots(world, "A18") == [("start", "skipped", MIDNIGHT)]
    world.must(c.StartRun(file_name="a18", dag_run_id="by-hand"))
    assert world.until(case("A18"), run_id="by-hand").status == "succeeded"
    assert runs(world, "A18") == ["by-hand"]


def scheduled_stop_aborts_the_run(world: World) -> None:
    seen = world.until(case("A19"))
    assert (seen.status, seen.states()) == ("aborted", {"long": "aborted", "after": "not_started"})
    assert seen.out("onCancel") == "stopped"
    assert slots(world, "A19") == [("stop", "fired", MIDNIGHT)]


def restart_stops_and_starts(world: World) -> None:
    old = world.until(case("A82"))
    assert old.status == "aborted"
    _, again = eventually(lambda: _two(world))
    new = world.until(case("A82"), "running", run_id=again)
    assert new.run["started_at"] >= old.run["finished_at"] + timedelta(seconds=1)
    world.must(c.StopRun(dag_name="a82", dag_run_id=again))
    world.until(case("A82"), run_id=again)


def _two(world: World) -> list[str]:
    found = runs(world, "A82")
    assert len(found) == 2
    return found


CHECKS: dict[str, Callable[[World], None]] = {
    "A15": fires_at_midnight,
    "A16": fires_in_its_own_time_zone,
    "A17": skips_after_success,
    "A18": suspended_dag_is_skipped,
    "A19": scheduled_stop_aborts_the_run,
    "A82": restart_stops_and_starts,
}


@pytest.mark.timeout(600)
def test_every_schedule_does_what_it_says(world: World, clock: Clock, subtests: pytest.Subtests) -> None:
    for row, spec in SPECS.items():
        world.must(c.CreateDag(file_name=row.lower(), spec=spec))
    world.must(c.SuspendDag(file_name="a18", suspend=True))
    for row in ("A17", "A17-failed", "A19", "A82"):
        world.must(c.StartRun(file_name=row.lower(), dag_run_id=f"run-{row.lower()}"))
    for row, status in {"A17": "succeeded", "A17-failed": "failed"}.items():
        assert world.until(case(row)).status == status
    for row in ("A19", "A82"):
        world.until_node(case(row), "long", "running")
    clock.go_on()
    decided = ("A15", "A16", "A17", "A17-failed", "A18", "A19", "A82")
    eventually(lambda: all(slots(world, row) for row in decided))
    for row, check in CHECKS.items():
        with subtests.test(row=row):
            check(world)
