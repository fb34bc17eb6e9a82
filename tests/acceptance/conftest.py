"""Fixtures for both deployments: SQLite with the in-process transport, and Postgres with RabbitMQ."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.world import World


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
