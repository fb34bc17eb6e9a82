"""Fixtures for both deployments: SQLite with the in-process transport, and Postgres with RabbitMQ."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.world import World
from tests.harness.databases import migrated_sqlite


@pytest.fixture(params=["embedded", "distributed"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """``(database URL, transport URL)`` of a migrated, empty database and an empty transport."""
    if request.param == "embedded":
        return migrated_sqlite(tmp_path / "dagway.db"), f"embedded:{tmp_path}/transport.db"
    return request.getfixturevalue("migrated_database_url"), request.getfixturevalue("amqp_url")


@pytest.fixture
def world(deployment: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A running system. The environment of its workers' host has the variables that some cases need."""
    monkeypatch.setenv("SHELL", "/bin/sh")
    monkeypatch.setenv("ACCEPTANCE_HOST", "host value")
    monkeypatch.setenv("ACCEPTANCE_SECRET", "s3cr3t-value")
    monkeypatch.setenv("ACCEPTANCE_LIMIT", "1")
    made = World(*deployment, tmp_path / "world")
    yield made
    made.close()
