"""Scheduled restarts that meet runs which have not started yet. The test sets the clock."""

import pytest

from shared.contracts import commands as c
from shared.workspaces import stored_name
from tests.integration.schedule_rig import Rig
from tests.integration.scheduler_stack import Stack

RESTART = 'schedule: {restart: "*/10 * * * *"}\nrestartWaitSec: 60\n'


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


def statuses(rig: Rig) -> list[str]:
    return [status for _, status in rig.runs()]


def test_the_run_of_a_restart_that_still_waits_is_that_of_the_next_restart_too(rig: Rig) -> None:
    rig.dag("a", RESTART)
    rig.at("12:00")
    rig.at("12:10")
    rig.queue(c.SetPause(scope="queue", name="a", by="ann"))
    (_, waits) = rig.runs()
    for clock in ("12:20", "12:30"):
        rig.at(clock)

    assert [outcome for _, _, outcome in rig.ledger()] == ["fired", "fired", "skipped", "skipped"]
    assert rig.reasons()[2:] == [f"the run of an earlier restart still waits: run {waits[0]}"] * 2
    assert statuses(rig) == ["aborted", "queued"]

    rig.queue(c.EndPause(scope="queue", name="a"))
    assert rig.one.admission.admit("a") == 1
    rig.at("12:40")
    assert rig.one.admission.admit("a") == 0, "the next restart waits as long as it should"
    assert statuses(rig) == ["aborted", "aborted", "queued"]


def test_a_restart_and_a_start_in_the_same_minute_queue_one_run(rig: Rig) -> None:
    rig.queue(c.SetQueue(name="q", max_concurrency=1))
    rig.dag("a", 'queue: q\nschedule: {restart: "0 12 * * *", start: "0 * * * *"}\n')
    rig.at("12:00")
    assert rig.ledger() == [("12:00", "restart", "fired"), ("12:00", "start", "skipped")]
    assert statuses(rig) == ["queued"]


def test_a_restart_that_the_quota_of_queued_runs_forbids_stops_nothing(rig: Rig) -> None:
    name = stored_name("team", "a")
    rig.queue(c.CreateWorkspace(name="team", max_queued=1))
    rig.dag(name, RESTART)
    rig.at("12:00")
    rig.queue(c.EnqueueRun(file_name=name, dag_run_id="by-hand", workspace="team"))
    rig.at("12:10")

    assert [outcome for _, _, outcome in rig.ledger(name)] == ["fired", "skipped"]
    assert "may have at most 1 queued runs" in rig.reasons(name)[1]
    assert statuses(rig) == ["running", "queued"]
