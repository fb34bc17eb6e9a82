"""One of the three nodes of a broker cluster with the shipped settings is lost."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from shared.transport.base import COMMANDS, EVENTS, LOGS
from shared.transport.open import open_transport
from tests.harness.broker_users import PASSWORDS, write_definitions
from tests.harness.needs import need
from tests.harness.servers import RabbitCluster


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    """A running broker cluster."""
    need("rabbitmq")
    with RabbitCluster(write_definitions(tmp_path_factory.mktemp("users"))) as cluster:
        yield cluster


def test_the_shipped_settings_make_a_cluster_that_replicates_queues(broker: RabbitCluster) -> None:
    scheduler = open_transport(broker.urls(PASSWORDS, nodes=broker.nodes[:1])["scheduler"], name="test")
    with closing(scheduler):
        scheduler.declare([COMMANDS, EVENTS, LOGS])

    queues = broker.queues(broker.nodes[1])
    nodes = {node.node for node in broker.nodes}
    for queue in (COMMANDS, EVENTS, LOGS):
        assert set(queues[queue.name]["members"]) == nodes
