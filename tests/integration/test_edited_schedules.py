"""Scheduled times that are not decided when their DAG is edited. The test sets the clock."""

from pathlib import Path
from typing import Literal

import pytest

from services.scheduler.commands.carry_out import handle
from services.scheduler.loops.folder import Folder
from shared.contracts import commands as c
from shared.store import tables as t
from tests.integration.schedule_rig import STEPS, T0, Rig
from tests.integration.scheduler_stack import Stack

HOURLY = 'schedule: "0 * * * *"\ncatchup: all\n'
QUARTERLY = 'schedule: "*/15 * * * *"\ncatchup: all\n'
EDITED = "the DAG was edited before this time was decided"


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


def edit(rig: Rig, spec: str, *, adopt: bool = True) -> None:
    command = c.PutSpec(file_name="a", spec=spec + STEPS)
    rig.one.transactor.decide(lambda batch: handle(batch, command))
    if adopt:
        rig.one.firing.adopt()


def at(rig: Rig, hour: int, minute: int, second: int = 0) -> None:
    rig.now = T0.replace(hour=hour, minute=minute, second=second)


@pytest.mark.parametrize("adopt", [True, False])
def test_an_edit_after_an_outage_starts_nothing_for_times_before_it(rig: Rig, adopt: bool) -> None:
    rig.dag("a", HOURLY)
    at(rig, 14, 20)
    edit(rig, QUARTERLY, adopt=adopt)
    rig.at("14:20:01")
    rig.at("14:30")

    assert rig.ledger() == [
        ("12:00", "start", "missed"),
        ("13:00", "start", "missed"),
        ("14:00", "start", "missed"),
        ("14:30", "start", "fired"),
    ]
    assert rig.reasons() == [EDITED] * 3 + [""]


def test_an_edit_while_everything_is_paused_starts_nothing_for_times_before_it(rig: Rig) -> None:
    rig.dag("a", HOURLY)
    rig.queue(c.SetPause(scope="global", by="ann"))
    at(rig, 13, 20)
    edit(rig, QUARTERLY)
    at(rig, 13, 50)
    rig.queue(c.EndPause(scope="global", catchup="all"))
    rig.at("13:50:01")

    assert rig.ledger() == [
        ("12:00", "start", "missed"),
        ("13:00", "start", "missed"),
        ("13:30", "start", "fired"),
        ("13:45", "start", "fired"),
    ]
    assert rig.reasons() == [EDITED] * 2 + ["caught up: paused by ann"] * 2


def test_an_edit_that_keeps_the_schedule_loses_no_catching_up(rig: Rig) -> None:
    rig.dag("a", HOURLY)
    at(rig, 13, 20)
    edit(rig, HOURLY + "description: x\n", adopt=False)
    rig.at("13:20:01")

    assert rig.ledger() == [("12:00", "start", "fired"), ("13:00", "start", "fired")]
    assert set(rig.reasons()) == {"caught up: no scheduler was running in time"}


@pytest.mark.parametrize("adopt", [True, False])
def test_an_edit_in_the_minute_of_a_scheduled_time_does_not_lose_it(rig: Rig, adopt: bool) -> None:
    rig.dag("a", HOURLY)
    at(rig, 13, 0, 1)
    edit(rig, QUARTERLY, adopt=adopt)
    rig.at("13:00:02")

    assert rig.ledger() == [("12:00", "start", "missed"), ("13:00", "start", "fired")]
    assert rig.reasons() == [EDITED, ""]


def write(rig: Rig, folder: Path, spec: str) -> None:
    (folder / "a.yaml").write_text(spec + STEPS)
    Folder(rig.one.transactor, folder).run_once()
    rig.one.firing.adopt()


def test_what_was_due_while_a_dag_had_errors_is_not_caught_up(rig: Rig, tmp_path: Path) -> None:
    write(rig, tmp_path, HOURLY)
    rig.at("12:00")
    rig.end()
    at(rig, 12, 30)
    write(rig, tmp_path, HOURLY + "stepps: []\n")
    assert [bool(row["errors"]) for row in rig.stack.rows(t.dags)] == [True]
    rig.at("13:00")
    at(rig, 14, 20)
    write(rig, tmp_path, HOURLY)
    rig.at("14:20:01")
    rig.at("15:00")

    assert rig.ledger() == [("12:00", "start", "fired"), ("15:00", "start", "fired")]


def test_what_was_due_before_a_dag_had_errors_has_an_outcome(rig: Rig, tmp_path: Path) -> None:
    write(rig, tmp_path, HOURLY)
    at(rig, 13, 20)
    write(rig, tmp_path, HOURLY + "stepps: []\n")
    rig.at("13:20:01")

    assert (rig.ledger(), rig.reasons()) == (
        [("12:00", "start", "missed"), ("13:00", "start", "missed")],
        [EDITED] * 2,
    )


@pytest.mark.parametrize(("scope", "name"), [("dag", "a"), ("global", "")])
def test_errors_that_a_pause_outlasts_lose_no_catching_up(
    rig: Rig, tmp_path: Path, scope: Literal["dag", "global"], name: str
) -> None:
    write(rig, tmp_path, HOURLY)
    rig.queue(c.SetPause(scope=scope, name=name, by="ann"))
    at(rig, 12, 30)
    write(rig, tmp_path, HOURLY + "stepps: []\n")
    at(rig, 12, 40)
    write(rig, tmp_path, HOURLY)
    at(rig, 13, 20)
    rig.queue(c.EndPause(scope=scope, name=name))
    rig.at("13:20:01")

    assert rig.ledger() == [("12:00", "start", "fired"), ("13:00", "start", "fired")]


def test_a_file_that_was_edited_in_an_outage_counts_before_anything_fires(rig: Rig, tmp_path: Path) -> None:
    rig.dag("a", QUARTERLY)
    at(rig, 12, 30, 10)
    (tmp_path / "a.yaml").write_text(HOURLY + STEPS)

    rig.stack.scheduler(dags_dir=tmp_path, clock=lambda: rig.now)

    assert rig.ledger() == [(slot, "start", "missed") for slot in ("12:00", "12:15", "12:30")]
    assert set(rig.reasons()) == {EDITED}
