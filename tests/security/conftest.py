"""The broker with its shipped logins."""

from collections.abc import Iterator

import pytest

from tests.harness.broker_users import BrokerUsers
from tests.harness.needs import need


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerUsers]:
    """A new broker, with the shipped logins and one for the workers of a second pool, ``gpu``."""
    need("rabbitmq")
    users = BrokerUsers(tmp_path_factory.mktemp("broker"))
    with users.server:
        users.add_worker_login("gpu", "worker-gpu")
        yield users
