"""A running system and a Prometheus that scrapes it, with the shipped rules in which a minute takes a second."""

from collections.abc import Iterator

import pytest

from tests.alerts.watched import Watched
from tests.harness.cluster import Cluster, running
from tests.harness.eventually import eventually, free_port
from tests.harness.needs import need
from tests.harness.prometheus import Prometheus
from tests.harness.servers import PostgresServer, RabbitServer


@pytest.fixture(scope="package")
def shared_watched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Watched, RabbitServer, PostgresServer]]:
    """A gateway, two schedulers and a worker, and their Prometheus."""
    for server in ("rabbitmq", "postgres", "prometheus"):
        need(server)
    rabbit, postgres = running(request.getfixturevalue("_rabbit"), request.getfixturevalue("_postgres"))
    folder = tmp_path_factory.mktemp("alerts")
    cluster = Cluster(folder / "system", rabbit, postgres, schedulers=2, lease_s=2)
    for process in cluster.schedulers:
        process.env["DAGWAY_VERIFY_EVERY"] = "1m"
    for gateway in cluster.gateways:
        gateway.env["DAGWAY_METRICS_PORT"] = str(free_port())
    scraped = [
        (f"127.0.0.1:{process.env['DAGWAY_METRICS_PORT']}", {"service": process.args[0]})
        for process in cluster.processes
    ]
    with cluster, Prometheus(folder / "leaf", "leaf", {"dagway": scraped}, site="here", faster=60) as leaf:
        yield Watched(cluster, leaf, folder), rabbit, postgres


@pytest.fixture
def watched(shared_watched: tuple[Watched, RabbitServer, PostgresServer]) -> Watched:
    """The shared system, with all processes running and scraped: what was counted before the first scrape is unseen."""
    system, rabbit, postgres = shared_watched
    running(rabbit, postgres)
    system.cluster.start()
    eventually(lambda: set(system.leaf.ask('up{job="dagway"}').values()) == {1.0})
    return system
