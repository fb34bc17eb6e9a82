"""The servers of this test process, both running."""

import pytest

from tests.harness.cluster import running
from tests.harness.servers import PostgresServer, RabbitServer


@pytest.fixture
def servers(servers: tuple[RabbitServer, PostgresServer]) -> tuple[RabbitServer, PostgresServer]:
    return running(*servers)
