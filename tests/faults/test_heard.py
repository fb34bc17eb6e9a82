"""Faults that touch no worker: no live worker is declared lost, and dead ones still are."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from shared.clock import utc_now
from shared.store import tables as t
from tests.faults.conftest import LEASE_S, attempts
from tests.harness.cluster import Cluster, pid_in
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess
from tests.harness.wrong_clock import wrong_clock

JUDGES_AFTER_S = 7 + LEASE_S
"""The time in which workers may reconnect, plus a lease, plus two passes."""
HELD = """
steps:
  - name: wait
    script: |
      echo $$ > {folder}/{dag}.pid
      until test -e {folder}/{dag}.go; do sleep 0.05; done
  - name: after
    command: echo after
"""
ONCE_EACH = [("wait", 1, "finished", "succeeded"), ("after", 1, "finished", "succeeded")]
LEASE = timedelta(seconds=LEASE_S)


def hold(cluster: Cluster, folder: Path, *dags: str) -> None:
    """Start runs whose first step waits for a file."""
    for dag in dags:
        cluster.client.create(dag, HELD.format(folder=folder, dag=dag))
        cluster.client.start(dag)
    for dag in dags:
        pid_in(folder / f"{dag}.pid")
        cluster.client.until_step("running", dag, "r1", "wait")


def let_go(folder: Path, *dags: str) -> None:
    for dag in dags:
        (folder / f"{dag}.go").touch()


def went_on(cluster: Cluster, *dags: str) -> None:
    """Assert that each run succeeded, with one attempt per step."""
    for dag in dags:
        cluster.client.until("succeeded", dag)
        assert attempts(cluster, dag) == ONCE_EACH


def pass_time(duration: timedelta) -> None:
    """Let a fault last: what it must not cause leaves no trace to wait for."""
    begin = utc_now()
    eventually(lambda: utc_now() - begin > duration)


@contextmanager
def memory_alarm(cluster: Cluster) -> Iterator[None]:
    alarm = "{{resource_limit, memory, node()}, []}"
    cluster.rabbit.eval(f"rabbit_alarm:set_alarm({alarm}), ok.")
    try:
        yield
    finally:
        cluster.rabbit.eval("rabbit_alarm:clear_alarm({resource_limit, memory, node()}), ok.")


def test_a_memory_alarm_for_longer_than_a_lease_loses_no_worker(cluster: Cluster, tmp_path: Path) -> None:
    hold(cluster, tmp_path, "alarm-1", "alarm-2")

    with memory_alarm(cluster):
        silent = eventually(lambda: silent_since(cluster, LEASE))
        assert silent
    # Both schedulers hear again, and judge.
    eventually(lambda: leases_are_renewed(cluster))
    let_go(tmp_path, "alarm-1", "alarm-2")

    went_on(cluster, "alarm-1", "alarm-2")


def silent_since(cluster: Cluster, duration: timedelta) -> bool:
    """Whether all leases ended so long ago."""
    return all(row["lease_until"] < utc_now() - duration for row in own_workers(cluster))


def leases_are_renewed(cluster: Cluster) -> bool:
    return all(row["lease_until"] > utc_now() and row["state"] == "live" for row in own_workers(cluster))


def own_workers(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the rows of the workers that run. Other tests on this system may have left rows of theirs."""
    ids = {worker.env["DAGWAY_WORKER_ID"] for worker in cluster.workers}
    return [row for row in cluster.rows(t.workers) if row["worker_id"] in ids]


def test_a_frozen_scheduler_makes_the_other_one_lose_nothing(cluster: Cluster, tmp_path: Path) -> None:
    dags = [f"frozen-{number}" for number in range(8)]
    hold(cluster, tmp_path, *dags)
    frozen = cluster.schedulers[0]

    frozen.freeze()
    try:
        # About half of the reports now go to the frozen scheduler.
        let_go(tmp_path, *dags)
        pass_time(3 * LEASE)
        assert lost(cluster, *dags) == []
    finally:
        frozen.thaw()

    went_on(cluster, *dags)


def lost(cluster: Cluster, *dags: str) -> list[str]:
    """Return the steps of these runs that have a lost attempt."""
    return [f"{dag}: {step}" for dag in dags for step, _, state, _ in attempts(cluster, dag) if state == "lost"]


def test_a_worker_that_dies_together_with_a_scheduler_is_noticed(cluster: Cluster, tmp_path: Path) -> None:
    hold(cluster, tmp_path, "both")
    worker_id = cluster.client.run("both")["workerId"]
    worker = next(one for one in cluster.workers if one.env["DAGWAY_WORKER_ID"] == worker_id)

    cluster.schedulers[0].kill9()
    worker.kill9()

    cluster.client.until("failed", "both")
    assert attempts(cluster, "both") == [("wait", 1, "lost", None)]


def test_busy_workers_outlast_a_database_that_is_away_for_longer_than_a_lease(cluster: Cluster, tmp_path: Path) -> None:
    dags = [f"away-{number}" for number in range(4)]
    hold(cluster, tmp_path, *dags)

    cluster.postgres.stop()
    # Every worker has news: a step ends, and its heartbeats name one attempt less.
    let_go(tmp_path, *dags[:2])
    pass_time(2 * LEASE)
    cluster.postgres.start()
    went_on(cluster, *dags[:2])
    pass_time(LEASE)
    let_go(tmp_path, *dags[2:])

    went_on(cluster, *dags)


@pytest.fixture
def skewed(cluster: Cluster, tmp_path: Path) -> Iterator[DagwayProcess]:
    """A third scheduler, on a host whose clock is an hour ahead."""
    scheduler = cluster.scheduler("skewed", **wrong_clock(tmp_path, timedelta(hours=1)))
    with scheduler:
        cluster.ready(scheduler)
        yield scheduler


def test_a_scheduler_whose_clock_is_wrong_fires_and_judges_by_the_databases(
    cluster: Cluster, skewed: DagwayProcess, tmp_path: Path
) -> None:
    hold(cluster, tmp_path, "skewed")
    minutes = [(utc_now() + timedelta(minutes=ahead)).minute for ahead in (20, 30, 40)]
    spec = f"schedule: '{','.join(map(str, minutes))} * * * *'\nsteps: [echo 1]\n"
    cluster.client.create("hourly", spec)

    # Longer than a new scheduler listens before it judges.
    pass_time(timedelta(seconds=JUDGES_AFTER_S))
    assert cluster.rows(t.dag_runs, dag_name="hourly") == []
    assert lost(cluster, "skewed") == []
    assert skewed.output().count("clock.differs") == 1
    let_go(tmp_path, "skewed")
    went_on(cluster, "skewed")
    # Its times come while other tests use this system.
    cluster.client.insist("DELETE", "/dags/hourly", key="delete-hourly")


def test_locked_runs_hold_up_no_others(cluster: Cluster, tmp_path: Path) -> None:
    held = [f"locked-{number}" for number in range(6)]
    hold(cluster, tmp_path, *held)

    with psycopg2.connect(cluster.urls["owner"]) as foreign, foreign.cursor() as session:
        session.execute("SELECT 1 FROM dag_runs WHERE dag_name = ANY(%s) FOR UPDATE", (held,))
        assert session.rowcount == 6
        let_go(tmp_path, *held)
        for number in range(3):
            cluster.client.create(f"free-{number}", "steps:\n  - name: one\n    command: echo 1\n")
            cluster.client.start(f"free-{number}")
        for number in range(3):
            cluster.client.until("succeeded", f"free-{number}")
        assert all(cluster.client.run(dag)["statusLabel"] == "running" for dag in held)
        foreign.rollback()
    foreign.close()

    went_on(cluster, *held)
