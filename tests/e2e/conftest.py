"""Both deployments as real processes. All tests share one system of each and use DAGs of different names."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.cli import cli
from tests.e2e.transcripts import Dagway
from tests.harness.client import Client
from tests.harness.cluster import Cluster, Deployment, Embedded, running
from tests.harness.procs import OWN_PROGRAM
from tests.harness.servers import PostgresServer, RabbitServer

_count = itertools.count(1)


@pytest.fixture(scope="package")
def shared_cluster(
    servers: tuple[RabbitServer, PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two gateways, one scheduler, one worker. They are executed, so that tests see their own environment."""
    rabbit, postgres = running(*servers)
    folder = tmp_path_factory.mktemp("distributed")
    system = Cluster(folder, rabbit, postgres, gateways=2, program=OWN_PROGRAM)
    for gateway in system.gateways:
        # Many tests compare the answer to a write. On a busy machine a scheduler needs longer than the default of 5 s.
        gateway.env["DAGWAY_COMMAND_WAIT_S"] = "30"
    with system:
        yield system


@pytest.fixture(scope="package")
def shared_embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with Embedded(tmp_path_factory.mktemp("embedded"), program=OWN_PROGRAM) as system:
        yield system


@pytest.fixture
def cluster(shared_cluster: Cluster, servers: tuple[RabbitServer, PostgresServer]) -> Cluster:
    """The shared distributed system, with all processes running."""
    running(*servers)
    return shared_cluster.start()


@pytest.fixture(params=["embedded", "distributed"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """The shared system of each deployment, with all processes running."""
    if request.param == "distributed":
        cluster: Cluster = request.getfixturevalue("cluster")
        return cluster
    embedded: Embedded = request.getfixturevalue("shared_embedded")
    return embedded.start()


@pytest.fixture
def client(deployment: Deployment) -> Client:
    return deployment.client


@pytest.fixture
def dag(client: Client) -> Callable[[str], str]:
    """Return a function that creates a DAG from a spec, under a new name, and returns the name."""

    def create(spec: str) -> str:
        name = f"dag-{next(_count)}"
        client.create(name, spec)
        return name

    return create


@pytest.fixture
def go(client: Client, dag: Callable[[str], str], tmp_path: Path) -> Callable[..., str]:
    """Return a function that creates a DAG, starts its run ``r1``, waits for ``status`` and returns the DAG's name."""

    def create_and_start(spec: str, status: str = "succeeded", **body: Any) -> str:
        name = dag(spec)
        client.start(name, **body)
        client.until(status, name)
        return name

    return create_and_start


@pytest.fixture
def dagway(client: Client, tmp_path: Path) -> Dagway:
    """Return a function that runs a command with the URL of the deployment, without any profile of the developer."""
    env = {"DAGWAY_URL": client.base, "XDG_CONFIG_HOME": str(tmp_path / "config")}

    def run(*args: str, stdin: str | None = None, **more: str) -> Result:
        return CliRunner(env=env | more).invoke(cli, args, input=stdin)

    return run
