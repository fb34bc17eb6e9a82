"""After an upgrade, the newest version validates stored specs again, on both deployments."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from services.scheduler.deciding.plans import spec_hash
from services.scheduler.loops.spec_revalidation import SpecRevalidation
from shared.store import tables as t
from tests.harness.eventually import eventually
from tests.integration.schedule_rig import STEPS, T0, Rig
from tests.integration.scheduler_stack import Stack

_OLD = {"errors": ["line 1, column 1: has invalid keys: schedule"], "summary": {"name": "a"}, "judged_by": "0.9.0"}
"""The problems that a version found which could not read the spec yet."""


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


def _stored(stack: Stack, **values: Any) -> None:
    with stack.engine.begin() as connection:
        connection.execute(update(t.dags).where(t.dags.c.file_name == "a").values(values))


def _lives(rig: Rig, version: str) -> None:
    """Record one heartbeat of a scheduler with this version."""
    row = {"kind": "scheduler", "instance_id": version, "host": "h", "version": version}
    with rig.stack.engine.begin() as connection:
        connection.execute(insert(t.services).values(row | {"started_at": rig.now, "heartbeat_at": rig.now}))


def _next_fire(rig: Rig) -> Any:
    return rig.stack.rows(t.schedules)[0]["next_fire_at"]


def test_a_dag_that_an_older_version_could_not_read_is_taken_up(rig: Rig) -> None:
    rig.dag("a", 'schedule: "0 * * * *"\n')
    _stored(rig.stack, **_OLD)
    with rig.stack.engine.begin() as connection:
        connection.execute(update(t.schedules).values(next_fire_at=None, next_start_at=None))
    rig.now = T0 + timedelta(hours=5)
    newer = rig.another("0.10.0")

    assert SpecRevalidation(newer.transactor).run_once() == 1
    assert SpecRevalidation(newer.transactor).run_once() == 0
    newer.firing.adopt()

    [row] = rig.stack.rows(t.dags)
    assert (row["errors"], row["judged_by"], row["version"]) == ([], "0.10.0", 1)
    assert "schedule" in row["summary"]
    assert (rig.ledger(), _next_fire(rig)) == ([], T0.replace(hour=17, minute=0, second=0))


def test_a_dag_that_only_an_older_version_could_read_is_put_aside(rig: Rig) -> None:
    rig.dag("a", 'schedule: "0 * * * *"\n')
    text = "stepps: []\n"
    with rig.stack.engine.begin() as connection:
        connection.execute(insert(t.specs).values(hash=spec_hash(text), yaml=text, created_at=T0))
    _stored(rig.stack, spec_hash=spec_hash(text))
    newer = rig.another("0.10.0")

    assert SpecRevalidation(newer.transactor).run_once() == 1
    newer.firing.adopt()

    [row] = rig.stack.rows(t.dags)
    assert "stepps" in row["errors"][0]
    assert _next_fire(rig) is None


def test_a_spec_whose_meaning_did_not_change_keeps_its_schedule(rig: Rig) -> None:
    rig.dag("a", 'schedule: "0 12 * * *"\n')
    before = rig.stack.rows(t.schedules)

    assert SpecRevalidation(rig.another("0.10.0").transactor).run_once() == 1

    assert rig.stack.rows(t.schedules) == before
    assert rig.at("12:00") == 1


def test_the_newest_version_alive_validates(rig: Rig) -> None:
    rig.dag("a", "")
    _stored(rig.stack, **_OLD)
    older, newer = SpecRevalidation(rig.another("0.9.1").transactor), SpecRevalidation(rig.another("0.10.0").transactor)
    _lives(rig, "0.9.1")
    _lives(rig, "0.10.0")

    assert (older.run_once(), newer.run_once(), older.run_once()) == (0, 1, 0)

    rig.now += timedelta(minutes=1)
    assert older.run_once() == 1, "the way back: nobody newer gives a sign of life"
    assert rig.stack.rows(t.dags)[0]["judged_by"] == "0.9.1"


def test_an_unchanged_file_runs_after_an_upgrade(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(STEPS)
    stack.scheduler(dags_dir=tmp_path)
    eventually(lambda: len(stack.rows(t.dags)) == 1)
    stack.stop_schedulers()
    _stored(stack, **_OLD)
    assert stack.rows(t.dags)[0]["errors"]

    stack.scheduler(dags_dir=tmp_path)

    eventually(lambda: stack.rows(t.dags)[0]["errors"] == [])
    assert stack.start("a").outcome == "recorded"
