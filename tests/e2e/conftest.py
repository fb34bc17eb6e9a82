"""Both footings as real processes. The tests of a module share one system and use DAGs of different names."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.client import Client
from tests.harness.cluster import Cluster, Embedded, Footing, running
from tests.harness.needs import need
from tests.harness.servers import PostgresServer, RabbitServer

_count = itertools.count(1)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> tuple[RabbitServer, PostgresServer]:
    """This test process's RabbitMQ and Postgres, both running."""
    need("rabbitmq")
    need("postgres")
    return request.getfixturevalue("_rabbit"), request.getfixturevalue("_postgres")


@pytest.fixture(scope="module", params=["embedded", "distributed"])
def footing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Footing]:
    """A running system that the tests of a module share."""
    folder = tmp_path_factory.mktemp(request.param)
    system: Footing
    if request.param == "embedded":
        system = Embedded(folder)
    else:
        rabbit, postgres = running(*request.getfixturevalue("servers"))
        system = Cluster(folder, rabbit, postgres, gateways=2, schedulers=1, workers=1)
    with system:
        yield system


@pytest.fixture
def client(footing: Footing) -> Client:
    return footing.client


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
