"""Fixtures for both footings: SQLite with the embedded transport, and Postgres with RabbitMQ."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.transport.open import open_transport
from tests.harness.databases import migrated_sqlite
from tests.integration.scheduler_stack import Stack


@pytest.fixture(params=["embedded", "distributed"])
def footing(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """``(database URL, transport URL)`` of a migrated, empty database and an empty transport."""
    if request.param == "embedded":
        return migrated_sqlite(tmp_path / "dagway.db"), f"embedded:{tmp_path}/transport.db"
    return request.getfixturevalue("migrated_database_url"), request.getfixturevalue("amqp_url")


@pytest.fixture
def stack(footing: tuple[str, str]) -> Iterator[Stack]:
    """A store, a transport and a scripted worker. The test itself starts the schedulers."""
    made = Stack(footing[0], lambda: open_transport(footing[1], name="test"))
    yield made
    made.close()
