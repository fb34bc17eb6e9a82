"""The two footings: the same services on SQLite and the embedded transport, and on real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.transport.open import open_transport
from tests.harness.databases import migrated_sqlite
from tests.integration.scheduler_stack import Stack


@pytest.fixture(params=["embedded", "distributed"])
def footing(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """``(database URL, transport URL)``, migrated and empty."""
    if request.param == "embedded":
        return migrated_sqlite(tmp_path / "dagway.db"), f"embedded:{tmp_path}/transport.db"
    return request.getfixturevalue("migrated_database_url"), request.getfixturevalue("amqp_url")


@pytest.fixture
def stack(footing: tuple[str, str]) -> Iterator[Stack]:
    """A store, a transport and a scripted worker; the test starts its schedulers."""
    made = Stack(footing[0], lambda: open_transport(footing[1], name="test"))
    yield made
    made.close()
