"""``histRetentionDays``: which old runs the next start of a DAG deletes, and which it keeps."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import or_, update

from services.scheduler.loops import housekeeping
from services.scheduler.loops.housekeeping import Housekeeping
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.store import tables as t
from shared.store.writes.transaction import Store
from tests.acceptance.world import World
from tests.harness.eventually import eventually

SPEC = "histRetentionDays: {days}\nsteps:\n  - call: kid\n---\nname: kid\nsteps:\n  - echo hi\n"
AGES = {"ancient": 31, "old": 8, "young": 6.9}
KEPT = {7: {"new", "young"}, 0: {"new", "young", "old"}, -1: {"new", "young", "old", "ancient"}}
"""0 means the default, 30 days. A negative number keeps runs for ever."""


def dag(days: int) -> str:
    return f"keeps-{days}".replace("--", "-minus-")


def roots(world: World, days: int) -> dict[str, dict[str, Any]]:
    return {row["dag_run_id"]: row for row in world.rows(t.dag_runs, dag_name=dag(days), root_key=None)}


def start(world: World, *run_ids: str) -> None:
    """Run every DAG once under each of these run ids, until the runs have ended."""
    for days in KEPT:
        for run_id in run_ids:
            world.must(c.StartRun(file_name=dag(days), dag_run_id=run_id))
    for days in KEPT:
        eventually(lambda days=days: all(roots(world, days)[one]["status"] == "succeeded" for one in run_ids))  # type: ignore[misc]


def set_back(world: World, key: str, **columns: Any) -> None:
    """Change a finished run and its sub-runs directly in the database."""
    runs = t.dag_runs.c
    with world.engine.begin() as connection:
        connection.execute(update(t.dag_runs).where(or_(runs.run_key == key, runs.root_key == key)).values(**columns))


def test_a_start_removes_runs_older_than_the_retention(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_LOOK_AGAIN_S", 0)
    for days in KEPT:
        world.must(c.CreateDag(file_name=dag(days), spec=SPEC.replace("{days}", str(days))))
    start(world, *AGES)
    gone = []
    for days, kept in KEPT.items():
        for run_id, row in roots(world, days).items():
            then = utc_now() - timedelta(days=AGES[run_id])
            set_back(world, row["run_key"], created_at=then, finished_at=then)
            gone += [] if run_id in kept else [row["run_key"]]
    start(world, "new")

    for days, kept in KEPT.items():
        eventually(lambda days=days, kept=kept: roots(world, days).keys() == kept)  # type: ignore[misc]
    assert len(world.rows(t.dag_runs, dag_name="kid")) == sum(map(len, KEPT.values()))
    for key in gone:
        for table in (t.nodes, t.attempts, t.transitions, t.log_chunks):
            assert world.rows(table, run_key=key) == []


def test_active_runs_are_kept_and_many_old_ones_are_removed_in_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_AT_ONCE", 2)
    for days in KEPT:
        world.must(c.CreateDag(file_name=dag(days), spec="steps: [echo hi]"))
    start(world, *"abcdef")
    # From here on only this test prunes.
    world.stop_scheduler()
    then = utc_now() - timedelta(days=100)
    changes: dict[str, dict[str, Any]] = {
        "a": {"status": "waiting"},
        "b": {"status": "running"},
        # Retried lately: its last attempt is young.
        "c": {"finished_at": utc_now()},
    }
    for run_id, row in roots(world, 7).items():
        set_back(world, row["run_key"], **{"created_at": then, "finished_at": then, **changes.get(run_id, {})})
    house = Housekeeping(Store(world.engine), utc_now)
    house.started({dag(7): 7})

    assert house.prune() == 3
    assert roots(world, 7).keys() == set("abc")
    house.started({dag(7): 7})
    assert house.prune() == 0
