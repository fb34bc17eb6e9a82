"""The servers of this test process, both running."""

import pytest

from tests.harness.cluster import running
from tests.harness.needs import need
from tests.harness.servers import PostgresServer, RabbitServer


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> tuple[RabbitServer, PostgresServer]:
    need("rabbitmq")
    need("postgres")
    return running(request.getfixturevalue("_rabbit"), request.getfixturevalue("_postgres"))
