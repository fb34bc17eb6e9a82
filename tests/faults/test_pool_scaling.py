"""KEDA's queries on a running system: each worker pool is scaled by what its own workers run or could run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.chart import render
from tests.deploy.manifests import of_kind
from tests.faults.conftest import LEASE_S
from tests.harness.cluster import Cluster, running
from tests.harness.eventually import eventually
from tests.harness.needs import need
from tests.harness.prometheus import Prometheus
from tests.harness.servers import PostgresServer, RabbitServer

KUSTOMIZE = Path(__file__).parents[2] / "deploy/k8s/components/keda/scaled-object.yaml"
HELD = 200
STEP = "steps:\n  - name: waits\n    command: while [ ! -e {go} ]; do sleep 0.1; done\n"


def scaled_objects() -> dict[str, dict[str, Any]]:
    """Return the specification of each pool's ScaledObject, by its name."""
    scaling = {"kind": "keda", "keda": {"serverAddress": "http://prometheus.monitoring.svc:9090"}}
    pools = [{"name": name, "autoscaling": scaling} for name in ("default", "gpu", "unused")]
    scaled = of_kind(render({"workerPools": pools}), "ScaledObject")
    return {each["metadata"]["name"]: each["spec"] for each in scaled}


def test_a_pool_is_scaled_by_its_own_attempts_and_not_by_runs_that_a_limit_holds(
    servers: tuple[RabbitServer, PostgresServer], tmp_path: Path
) -> None:
    need("prometheus")
    scaled = scaled_objects()
    asked = {name: each["triggers"][0]["metadata"]["query"] for name, each in scaled.items()}
    default, gpu = asked["dagway-worker"], asked["dagway-worker-gpu"]
    kustomize = yaml.safe_load(KUSTOMIZE.read_text())["spec"]
    assert kustomize["triggers"][0]["metadata"]["query"] == default
    cluster = Cluster(tmp_path / "c", *running(*servers), schedulers=2, workers=1, lease_s=LEASE_S)
    ports = [each.env["DAGWAY_METRICS_PORT"] for each in cluster.schedulers]
    scraped = [(f"127.0.0.1:{port}", {"service": "scheduler"}) for port in ports]
    with cluster, Prometheus(tmp_path / "leaf", "leaf", {"dagway": scraped}, site="here") as leaf:

        def says(query: str, number: float) -> Callable[[], bool]:
            return lambda: list(leaf.ask(query).values()) == [number]

        step = STEP.format(go=tmp_path / "go")
        for name, head in {
            "held": "maxActiveRuns: 1\n",
            "elsewhere": "workerSelector: {worker-pool: gpu}\n",
            "nowhere": "workerSelector: {zone: mars}\n",
            "own": "",
        }.items():
            cluster.client.create(name, head + step)
        eventually(says(default, 0))

        with ThreadPoolExecutor(8) as threads:
            sent = threads.map(
                lambda n: cluster.client.ask("POST", "/dags/held/enqueue", {"dagRunId": f"r{n}"}), range(HELD)
            )
            assert {answer.status for answer in sent} <= {200, 202}
        eventually(says("max(dagway_queued_dag_runs)", HELD - 1))
        eventually(says(default, 1))

        for dag, count in {"elsewhere": 30, "nowhere": 5}.items():
            for number in range(count):
                cluster.client.start(dag, f"r{number}")
        eventually(says(gpu, 30))
        eventually(says('sum(max by (state) (dagway_open_attempts{worker_pool="no-pool"}))', 5))
        eventually(says(default, 1))

        for number in range(3):
            cluster.client.start("own", f"r{number}")
        eventually(says(default, 4))
        eventually(says(gpu, 30))
        eventually(says("sum(dagway:open_attempts:max)", 39))

        # A pool that nobody has asked for needs no worker.
        # A scrape that a busy machine answers too late is missing for a moment.
        eventually(says(asked["dagway-worker-unused"], 0))
        # Without schedulers nobody knows what a pool needs: then the result is empty, and no worker may end.
        for scheduler in cluster.schedulers:
            scheduler.kill9()
        eventually(lambda: not any(leaf.ask(query) for query in asked.values()))
    for spec in (kustomize, *scaled.values()):
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        assert spec["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
