"""Two real Prometheus servers scrape real services: their sums equal the database, although processes are killed."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from shared.store import tables as t
from tests.faults.conftest import LEASE_S
from tests.harness.cluster import Cluster, running
from tests.harness.eventually import eventually, free_port
from tests.harness.needs import need
from tests.harness.procs import DagwayProcess
from tests.harness.prometheus import Prometheus
from tests.harness.servers import PostgresServer, RabbitServer

Labels = tuple[tuple[str, str], ...]
SPEC = {
    "good": "steps:\n  - name: one\n    command: echo 1\n",
    "bad": "steps:\n  - name: one\n    command: exit 3\n",
    "slow": "steps:\n  - name: one\n    command: sleep 1\n    retryPolicy: {limit: 3, intervalSec: 0}\n",
}


@pytest.fixture
def watched(
    servers: tuple[RabbitServer, PostgresServer], tmp_path: Path
) -> Iterator[tuple[Cluster, Prometheus, Prometheus]]:
    """Two of each service, a Prometheus that scrapes all six, and a Prometheus that federates from the first."""
    need("prometheus")
    cluster = Cluster(tmp_path / "c", *running(*servers), gateways=2, schedulers=2, workers=2, lease_s=LEASE_S)
    for gateway in cluster.gateways:
        gateway.env["DAGWAY_METRICS_PORT"] = str(free_port())
    scraped = [
        (f"127.0.0.1:{process.env['DAGWAY_METRICS_PORT']}", {"service": process.args[0]})
        for process in cluster.processes
    ]
    with (
        cluster,
        Prometheus(tmp_path / "leaf", "leaf", {"dagway": scraped}, site="here") as leaf,
        Prometheus(tmp_path / "global", "global", {"federate": [(f"127.0.0.1:{leaf.port}", {})]}) as whole,
    ):
        yield cluster, leaf, whole


def truth(cluster: Cluster) -> Counter[str]:
    return Counter(row["status"] for row in cluster.rows(t.dag_runs))


def counted(leaf: Prometheus, selector: str) -> float:
    """Return the sum of a counter over all replicas and their restarts, from the raw samples."""
    total = 0.0
    for series in leaf.raw(selector):
        total += series[0] + sum(now - was if now >= was else now for was, now in itertools.pairwise(series))
    return total


def is_counted(leaf: Prometheus, status: str, runs: int) -> bool:
    return counted(leaf, f'dagway_dag_runs_ended_total{{status="{status}"}}') == runs


def begins_anew(leaf: Prometheus, scheduler: DagwayProcess) -> bool:
    instance = f"127.0.0.1:{scheduler.env['DAGWAY_METRICS_PORT']}"
    return list(leaf.ask(f'sum(dagway_dag_runs_ended_total{{instance="{instance}"}})').values()) == [0]


def workers_up(whole: Prometheus) -> float:
    return sum(whole.ask('dagway:up:count{service="worker",site="here"}').values())


def federated(whole: Prometheus) -> dict[str, float]:
    found = whole.ask("dagway:dag_runs:total")
    assert all(dict(labels)["site"] == "here" for labels in found)
    return {dict(labels)["status"]: value for labels, value in found.items() if value}


def without_site(found: Mapping[Labels, float]) -> dict[Labels, float]:
    return {(("status", dict(labels)["status"]),): value for labels, value in found.items()}


def _nothing() -> dict[Labels, float]:
    raise AssertionError("nothing was scraped")


@pytest.mark.timeout(600)
def test_sums_are_the_databases_though_a_worker_a_scheduler_and_a_gateway_were_killed(
    watched: tuple[Cluster, Prometheus, Prometheus],
) -> None:
    cluster, leaf, whole = watched
    client = cluster.client
    for name, spec in SPEC.items():
        client.create(name, spec)

    def start(dag: str, prefix: str, runs: int) -> None:
        for number in range(runs):
            client.insist("POST", f"/dags/{dag}/start", {"dagRunId": f"{prefix}{number}"}, key=f"{dag}{prefix}{number}")

    def all_over(runs: int) -> None:
        found = truth(cluster)
        assert found.total() == runs, found
        assert not found["running"] + found["queued"], found

    # Everything at rest and scraped: now a kill takes no count with it.
    start("good", "a", 8)
    start("bad", "a", 3)
    eventually(lambda: all_over(11))
    assert truth(cluster) == {"succeeded": 8, "failed": 3}
    for status, runs in truth(cluster).items():
        eventually(partial(is_counted, leaf, status, runs))
    victims = (cluster.workers[0], cluster.schedulers[0], cluster.gateways[0])
    for process in victims:
        process.kill9()
    eventually(lambda: workers_up(whole) == 1)
    cluster.start(*victims)
    # Only a scrape in between tells a counter that began anew from one that went on.
    eventually(partial(begins_anew, leaf, cluster.schedulers[0]))
    start("good", "b", 8)
    eventually(lambda: all_over(19))
    eventually(partial(is_counted, leaf, "succeeded", 16))

    # In the middle of work: what was not scraped is lost to the counters, not to what is read from the database.
    start("slow", "c", 12)
    for process in victims:
        process.kill9()
    cluster.start(*victims)
    eventually(lambda: all_over(31))
    eventually(lambda: federated(whole) == dict(truth(cluster)))
    assert counted(leaf, "dagway_dag_runs_ended_total") <= 31
    # A scrape that a busy machine answers too late is missing for a moment.
    eventually(lambda: leaf.ask("dagway:dag_runs:total") == without_site(whole.ask("dagway:dag_runs:total")))

    # Only aggregates came over.
    found = eventually(lambda: whole.ask('{__name__=~"dagway.+"}') or _nothing())
    assert {dict(labels).get("instance") for labels in found} == {None}
    up = {(("instance", f"127.0.0.1:{leaf.port}"), ("job", "federate")): 1}
    eventually(lambda: whole.ask('up{job="federate"}') == up)
