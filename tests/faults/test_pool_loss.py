"""A lock whose holder's worker dies or is cut off in the middle of the step."""

from pathlib import Path

from shared.store import tables as t
from tests.faults.conftest import attempts
from tests.faults.test_worker_loss import holder
from tests.harness.cluster import Cluster, pid_in
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess

SPEC = """
steps:
  - name: long
    lock: {name}
    script: |
      echo $$ > {folder}/$DAG_RUN_ID
      until test -e {folder}/go-$DAG_RUN_ID; do sleep 0.05; done
"""


def begin(cluster: Cluster, name: str, folder: Path) -> DagwayProcess:
    """Start ``r1``, which gets the lock, and ``r2``, which waits for it; return the worker of ``r1``."""
    cluster.client.create(name, SPEC.format(name=name, folder=folder))
    cluster.client.start(name)
    pid_in(folder / "r1")
    worker = holder(cluster, name)
    cluster.client.start(name, "r2")
    assert entered(cluster, name) == ["r1"]
    return worker


def entered(cluster: Cluster, name: str) -> list[str]:
    """Return the runs that hold the lock."""
    ids = {row["run_key"]: row["dag_run_id"] for row in cluster.rows(t.dag_runs, dag_name=name)}
    return sorted(ids[row["run_key"]] for row in cluster.rows(t.pool_places, kind="lock", name=name))


def let_go(cluster: Cluster, worker: DagwayProcess) -> bool:
    """Whether a worker sends heartbeats again and names no attempt, so its reports on old attempts are delivered."""
    (row,) = cluster.rows(t.workers, worker_id=worker.env["DAGWAY_WORKER_ID"])
    return bool(row["state"] == "live" and row["busy"] == 0)


def finish(cluster: Cluster, name: str, folder: Path) -> None:
    """Let ``r3`` wait for the lock that ``r2`` holds, and both end one after the other.

    Not before ``r2`` runs: if its task is lost with a worker, it asks for the lock again, behind those that wait.
    """
    cluster.client.start(name, "r3")
    assert entered(cluster, name) == ["r2"]
    for run_id, after in (("r2", ["r3"]), ("r3", [])):
        (folder / f"go-{run_id}").touch()
        cluster.client.until("succeeded", name, run_id)
        eventually(lambda after=after: entered(cluster, name) == after)  # type: ignore[misc]
    assert cluster.rows(t.pool_waits, kind="lock", name=name) == []


def test_a_killed_workers_lock_goes_to_who_waits(cluster: Cluster, tmp_path: Path) -> None:
    worker = begin(cluster, "locked", tmp_path)

    worker.kill9()

    cluster.client.until("failed", "locked")
    pid_in(tmp_path / "r2")
    assert entered(cluster, "locked") == ["r2"]
    finish(cluster, "locked", tmp_path)


def test_a_silent_worker_that_is_heard_again_takes_no_lock_from_its_next_holder(
    cluster: Cluster, tmp_path: Path
) -> None:
    worker = begin(cluster, "silenced", tmp_path)
    worker.freeze()
    try:
        cluster.client.until("failed", "silenced")
        (tmp_path / "go-r1").touch()
        cluster.client.until_step("running", "silenced", "r2", "long")
        pid_in(tmp_path / "r2")
    finally:
        worker.thaw()

    eventually(lambda: let_go(cluster, worker))
    assert entered(cluster, "silenced") == ["r2"]
    finish(cluster, "silenced", tmp_path)
    assert attempts(cluster, "silenced") == [("long", 1, "lost", None)]
