"""Scheduled times that are not decided while their DAG is suspended. The test sets the clock."""

from pathlib import Path
from typing import Literal

import pytest

from services.scheduler.commands.carry_out import handle
from services.scheduler.deciding.dag_folder.dag_files import DagFiles
from services.scheduler.loops.folder import Folder
from shared.contracts import commands as c
from tests.integration.schedule_rig import Rig
from tests.integration.scheduler_stack import Stack

EVERY_TEN = 'schedule: "*/10 * * * *"\ncatchup: all\n'
SKIPPED = [("12:00", "start", "skipped"), ("12:10", "start", "skipped")]


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


@pytest.mark.parametrize(("scope", "name"), [("global", ""), ("dag", "a")])
def test_what_a_suspended_dag_skipped_is_not_caught_up_when_a_pause_ends(
    rig: Rig, scope: Literal["global", "dag"], name: str
) -> None:
    rig.dag("a", EVERY_TEN)
    rig.queue(c.SetPause(scope=scope, name=name, by="ann"))
    rig.queue(c.SuspendDag(file_name="a", suspend=True))
    rig.at("12:15")
    rig.queue(c.SuspendDag(file_name="a", suspend=False))
    assert rig.ledger() == SKIPPED
    rig.at("12:25")
    rig.queue(c.EndPause(scope=scope, name=name))
    rig.at("12:30")

    assert rig.ledger() == [*SKIPPED, ("12:20", "start", "fired"), ("12:30", "start", "fired")]
    assert set(rig.reasons()[:2]) == {"the DAG is suspended"}


def test_what_a_suspended_dag_skipped_is_not_caught_up_after_an_outage(rig: Rig) -> None:
    rig.dag("a", EVERY_TEN)
    rig.queue(c.SuspendDag(file_name="a", suspend=True))
    rig.now = rig.now.replace(hour=12, minute=15)
    rig.queue(c.SuspendDag(file_name="a", suspend=False))
    rig.at("12:20")

    assert rig.ledger() == [*SKIPPED, ("12:20", "start", "fired")]


def test_a_dag_that_is_renamed_right_after_it_was_resumed_catches_up_nothing(rig: Rig) -> None:
    rig.dag("a", EVERY_TEN)
    rig.queue(c.SuspendDag(file_name="a", suspend=True))
    rig.now = rig.now.replace(hour=12, minute=15)
    transactor = rig.one.transactor
    transactor.decide(lambda batch: handle(batch, c.SuspendDag(file_name="a", suspend=False)))
    transactor.decide(lambda batch: handle(batch, c.RenameDag(file_name="a", new_file_name="b")))
    rig.one.firing.adopt()
    rig.at("12:20")

    assert rig.ledger("b") == [*SKIPPED, ("12:20", "start", "fired")]


def test_a_removed_flag_resumes_a_dag_like_a_command(rig: Rig, tmp_path: Path) -> None:
    flags = tmp_path / "flags"
    flags.mkdir()
    dags = tmp_path / "dags"
    dags.mkdir()
    rig.one.transactor.memory.files = DagFiles(dags, flags)
    folder = Folder(rig.one.transactor, dags)
    rig.dag("a", EVERY_TEN)
    folder.run_once()
    (flags / "a.suspend").touch()
    folder.run_once()
    rig.queue(c.SetPause(scope="global", by="ann"))
    rig.now = rig.now.replace(hour=12, minute=15)
    (flags / "a.suspend").unlink()
    folder.run_once()
    rig.queue(c.EndPause(scope="global"))
    rig.at("12:20")

    assert rig.ledger() == [*SKIPPED, ("12:20", "start", "fired")]


def test_resuming_in_the_minute_of_a_scheduled_time_does_not_lose_it(rig: Rig) -> None:
    rig.dag("a", EVERY_TEN)
    rig.queue(c.SuspendDag(file_name="a", suspend=True))
    rig.now = rig.now.replace(hour=12, minute=10, second=20)
    rig.queue(c.SuspendDag(file_name="a", suspend=False))
    rig.at("12:10:40")

    assert rig.ledger() == [("12:00", "start", "skipped"), ("12:10", "start", "fired")]


def test_resuming_a_dag_that_is_not_suspended_loses_no_catching_up(rig: Rig) -> None:
    rig.dag("a", EVERY_TEN)
    rig.queue(c.SetPause(scope="dag", name="a", by="ann"))
    rig.at("12:15")
    rig.queue(c.SuspendDag(file_name="a", suspend=False))
    rig.queue(c.EndPause(scope="dag", name="a"))
    rig.at("12:20")

    assert [outcome for _, _, outcome in rig.ledger()] == ["fired"] * 3
