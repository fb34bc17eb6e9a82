"""Sub-runs obey a queue's limit and end, although one of two schedulers is killed."""

from shared.store import tables as t
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually
from tests.harness.queue_log import most_at_once, passages, watch_admissions

CALLED = "queue: narrow\nsteps: [sleep 0.2]\n"
FANS_OUT = """
steps:
  - call: called
    parallel: {items: ["1", "2", "3", "4", "5", "6"], maxConcurrent: 6}
"""


def ended(cluster: Cluster, dag: str) -> int:
    return len(cluster.rows(t.dag_runs, dag_name=dag, status="succeeded"))


def test_a_parallel_steps_runs_keep_to_a_limit_though_a_scheduler_dies(cluster: Cluster) -> None:
    watch_admissions(cluster.engine)
    assert cluster.client.settle("PUT", "/queues/narrow", {"maxConcurrency": 2}, key="narrow").status == 200
    cluster.client.create("called", CALLED)
    cluster.client.create("fans-out", FANS_OUT)
    cluster.client.create("fans-within", "queue: narrow\n" + FANS_OUT)
    for run_id in ("r1", "r2"):
        cluster.client.start("fans-out", run_id)

    eventually(lambda: ended(cluster, "called") >= 3)
    cluster.schedulers[0].kill9()
    for run_id in ("r1", "r2"):
        cluster.client.until("succeeded", "fans-out", run_id)

    found = [one for one in passages(cluster.engine) if one.queue == "narrow"]
    assert (len(found), most_at_once(found)) == (12, {"narrow": 2})

    # Callers that fill the queue themselves would wait for ever for those they call.
    cluster.start()
    for run_id in ("w1", "w2", "w3"):
        path, body = "/dags/fans-within/enqueue", {"dagRunId": run_id}
        assert cluster.client.settle("POST", path, body, key=run_id).status == 200
    for run_id in ("w1", "w2", "w3"):
        cluster.client.until("succeeded", "fans-within", run_id)
    assert ended(cluster, "called") == 12 + 18
