"""One distributed system for the folder, with a short lease. Before each test, every process runs again."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.store import tables as t
from tests.harness.cluster import Cluster, Deployment, running
from tests.harness.servers import PostgresServer, RabbitServer

LEASE_S = 5.0
"""A worker that gets no CPU time for so long counts as lost, so a busy machine sets the least value."""


@pytest.fixture(scope="package")
def shared_cluster(
    servers: tuple[RabbitServer, PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """One gateway, two schedulers, two workers. Every test has names of its own for its DAGs."""
    rabbit, postgres = running(*servers)
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder, rabbit, postgres, schedulers=2, workers=2, lease_s=LEASE_S) as system:
        yield system


@pytest.fixture
def cluster(shared_cluster: Cluster, servers: tuple[RabbitServer, PostgresServer]) -> Cluster:
    """The shared system, with all processes running."""
    running(*servers)
    return shared_cluster.start()


def attempts(system: Deployment, dag: str, run_id: str = "r1") -> list[tuple[str, int, str, str | None]]:
    """Return every recorded attempt of a run in order, as ``(step, number, state, outcome)``."""
    (run,) = system.rows(t.dag_runs, dag_name=dag, dag_run_id=run_id)
    names = {row["idx"]: row["name"] for row in system.rows(t.nodes, run_key=run["run_key"])}
    rows = sorted(system.rows(t.attempts, run_key=run["run_key"]), key=lambda row: (row["node"], row["dispatched_at"]))
    return [(names[row["node"]], row["number"], row["state"], row["outcome"]) for row in rows]


def error_of(details: dict[str, Any], step: str) -> str:
    """Return the error of one step in the details of a run."""
    (error,) = [node.get("error", "") for node in details["nodes"] if node["step"]["name"] == step]
    return str(error)
