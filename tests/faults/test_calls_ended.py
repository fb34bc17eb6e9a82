"""Calls and approvals that are ended, or lose their worker: no process of theirs is left on a worker."""

from pathlib import Path

import pytest

from shared.store import tables as t
from tests.faults.conftest import attempts
from tests.harness.cluster import Cluster, descendants, everything_below, gone, pid_in
from tests.harness.eventually import eventually

HELD = """
---
name: held
maxCleanUpTimeSec: 1
steps:
  - name: hold
    script: |
      setsid sleep 600 & echo $! > {folder}/child-$1
      echo $$ > {folder}/pid-$1
      wait
"""
CALLERS = {
    "call": "steps:\n  - {{call: held, params: one}}\n",
    "parallel": "steps:\n  - {{call: held, parallel: [two, three]}}\n",
    "deep": "steps:\n  - call: between\n---\nname: between\nsteps:\n  - {{call: held, params: four}}\n",
}
ITEMS = {"call": ("one",), "parallel": ("two", "three"), "deep": ("four",)}
"""What the steps below each caller are called in their files."""
ENDS = {"stop": "aborted", "timeout": "failed", "kill": "failed"}


def left_files(cluster: Cluster) -> list[Path]:
    """Return the files in the directories of the workers' runs."""
    everything = [path for worker in cluster.workers for path in everything_below(worker.folder)]
    return [path for path in everything if "runs" in path.parts and path.is_file()]


@pytest.mark.parametrize("fault", ENDS)
def test_the_processes_of_called_runs_end_with_their_callers(cluster: Cluster, tmp_path: Path, fault: str) -> None:
    dags = {f"{name}-{fault}": name for name in CALLERS}
    for dag, name in dags.items():
        top = "timeoutSec: 20\n" if fault == "timeout" else ""
        cluster.client.create(dag, top + (CALLERS[name] + HELD).format(folder=tmp_path))
    pids = []
    for dag, name in dags.items():
        cluster.client.start(dag)
        # One after the other: all at once would be slower, and the time limit of each has begun.
        pids += [pid_in(tmp_path / f"{kind}-{item}") for item in ITEMS[name] for kind in ("pid", "child")]
    assert left_files(cluster) != []

    if fault == "stop":
        for dag in dags:
            cluster.client.ask("POST", f"/dag-runs/{dag}/r1/stop")
    elif fault == "kill":
        for worker in cluster.workers:
            worker.kill9()
        eventually(lambda: all(gone(pid) for pid in pids))
        cluster.start(*cluster.workers)

    for dag in dags:
        cluster.client.until(ENDS[fault], dag)
        (run,) = cluster.rows(t.dag_runs, dag_name=dag)
        below = cluster.rows(t.dag_runs, root_key=run["run_key"])
        assert {row["status"] for row in below} <= {"aborted", "failed"}
    eventually(lambda: all(gone(pid) for pid in pids))
    eventually(lambda: left_files(cluster) == [])


def test_a_wait_for_approval_has_nothing_on_a_worker_and_outlives_them_all(cluster: Cluster) -> None:
    cluster.client.create("gated", "steps:\n  - name: ok\n    type: hitl\n  - echo on\n")
    cluster.client.start("gated")
    cluster.client.until("waiting", "gated")

    assert attempts(cluster, "gated") == [("ok", 1, "finished", "succeeded")]
    # Beside its guardian, a worker may have processes that other tests have left.
    processes = [pid for worker in cluster.workers for pid in descendants(worker.pid)]
    assert len(processes) >= len(cluster.workers)
    for worker in cluster.workers:
        worker.kill9()
    eventually(lambda: all(gone(pid) for pid in processes))
    assert cluster.client.run("gated")["statusLabel"] == "waiting"

    cluster.start(*cluster.workers)
    cluster.client.ask("POST", "/dag-runs/gated/r1/steps/ok/approve", {})
    cluster.client.until("succeeded", "gated")
