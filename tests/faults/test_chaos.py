"""Hundreds of runs while processes of all kinds are killed: no run is lost, none happens twice.

Meanwhile the live system is checked again and again: nothing that is on its way counts as a violation.
"""

import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.store import tables as t
from tests.faults.conftest import LEASE_S
from tests.harness.cluster import Cluster, running
from tests.harness.eventually import eventually
from tests.harness.invariants import at_rest, census, violations, violations_now
from tests.harness.killer import Killer
from tests.harness.servers import PostgresServer, RabbitServer

RUNS = 300
KILL_EVERY_S = 2.0
KILLS = 15
"""The number of kills; each happens in the middle of many runs."""
SETTLED_S = 90
SPEC = """
steps:
  - name: one
    command: echo one >> {folder}/$DAG_RUN_ID
    retryPolicy: {{limit: 50, intervalSec: 0}}
  - name: two
    command: sleep 2
    retryPolicy: {{limit: 50, intervalSec: 0}}
  - name: three
    command: echo three >> {folder}/$DAG_RUN_ID
    retryPolicy: {{limit: 50, intervalSec: 0}}
"""
STEPS = ("one", "two", "three")
ONCE = "steps:\n  - name: only\n    command: echo only >> {folder}/$DAG_RUN_ID; sleep 3\n"
"""A step without a retry policy: it runs at most once, or its run says that it may have run twice."""
ONCE_RUNS = 3
"""How many runs of it start before each kill."""


@pytest.fixture
def system(servers: tuple[RabbitServer, PostgresServer], tmp_path: Path) -> Iterator[Cluster]:
    rabbit, postgres = running(*servers)
    folder = tmp_path / "cluster"
    with Cluster(folder, rabbit, postgres, gateways=2, schedulers=2, workers=3, lease_s=LEASE_S) as cluster:
        yield cluster


def submit(system: Cluster, dag: str, number: int) -> int:
    """Start a run, repeating the request until it is accepted; return the response status."""
    body = {"dagRunId": f"{dag}{number}"}
    return system.client.insist("POST", f"/dags/{dag}/start", body, key=f"{dag}-{number}", timeout_s=60).status


@pytest.mark.timeout(600)
def test_no_run_is_lost_or_doubled_while_processes_die(system: Cluster, tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"seed {seed}")  # noqa: T201 - to see it again: CHAOS_SEED
    work = tmp_path / "work"
    work.mkdir()
    system.client.create("chaos", SPEC.format(folder=work))
    system.client.create("once", ONCE.format(folder=work))
    killer = Killer(system, random.Random(seed), ["gateways", "schedulers", "workers"])
    done = threading.Event()

    with ThreadPoolExecutor(4) as pool:
        submitting: list[Future[int]] = []
        for first in range(0, RUNS, RUNS // KILLS):
            place = first // (RUNS // KILLS) * ONCE_RUNS
            submitting += [pool.submit(submit, system, "chaos", n) for n in range(first, first + RUNS // KILLS)]
            submitting += [pool.submit(submit, system, "once", n) for n in range(place, place + ONCE_RUNS)]
            done.wait(KILL_EVERY_S)
            killer.strike()
            assert violations_now(system.engine, LEASE_S) == []
        answers = Counter(future.result() for future in submitting)
    for process in system.processes:
        system.ready(process)

    assert answers.keys() <= {200, 202}, answers
    eventually(lambda: len(system.rows(t.dag_runs)) == RUNS + ONCE_RUNS * KILLS, timeout_s=SETTLED_S)
    eventually(lambda: at_rest(system.engine), timeout_s=SETTLED_S, every_s=0.5)
    counts = census(system.engine)
    print(f"killed {dict(killer.killed)}, answers {dict(answers)}, {counts}")  # noqa: T201 - what it is about
    accepted = [f"chaos-{number}" for number in range(RUNS)] + [f"once-{number}" for number in range(ONCE_RUNS * KILLS)]
    assert violations(system.engine, commands=accepted) == []
    runs = {row["run_key"]: row for row in system.rows(t.dag_runs, dag_name="chaos")}
    assert Counter(row["status"] for row in runs.values()) == {"succeeded": RUNS}
    nodes = [row["status"] for row in system.rows(t.nodes) if row["run_key"] in runs]
    assert Counter(nodes) == {"succeeded": RUNS * len(STEPS)}
    finished = [row for row in system.rows(t.attempts, state="finished") if row["run_key"] in runs]
    assert len(finished) == RUNS * len(STEPS)
    check_side_effects(system, work)
    check_once(system, work)


def check_side_effects(system: Cluster, work: Path) -> None:
    """Check that no step ran more often than is recorded, and that each succeeded step ran."""
    recorded = Counter((row["run_key"], row["node"]) for row in system.rows(t.executions) if row["begun"])
    for run in system.rows(t.dag_runs, dag_name="chaos"):
        lines = Counter((work / run["dag_run_id"]).read_text().split())
        for step in ("one", "three"):
            executions = recorded[run["run_key"], STEPS.index(step)]
            assert 1 <= lines[step] <= executions, (run["dag_run_id"], step, lines, executions)


def check_once(system: Cluster, work: Path) -> None:
    """Check that a step without a retry policy ran at most once, or that its run says that it may have run twice."""
    told = {row["run_key"] for row in system.rows(t.transitions) if "it may have run twice" in row["why"]}
    for run in system.rows(t.dag_runs, dag_name="once"):
        path = work / run["dag_run_id"]
        lines = len(path.read_text().split()) if path.exists() else 0
        assert lines <= 1 or run["run_key"] in told, (run["dag_run_id"], lines)
        assert run["status"] == "failed" or lines, run["dag_run_id"]
