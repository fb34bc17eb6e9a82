"""Fixtures for both deployments (SQLite with the embedded transport, Postgres with RabbitMQ), and a worker alone."""

from collections.abc import Iterator

import pytest

from shared.transport.open import open_transport
from tests.harness.counterparts import HttpCounterpart
from tests.harness.worker_rig import Rig
from tests.integration.scheduler_stack import Stack


@pytest.fixture
def stack(deployment: tuple[str, str]) -> Iterator[Stack]:
    """A store, a transport and a scripted worker. The test itself starts the schedulers."""
    made = Stack(deployment[0], lambda: open_transport(deployment[1], name="test"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A worker of the test module, whose tests give it tasks themselves."""
    with Rig(tmp_path_factory.mktemp("worker")) as made:
        yield made


@pytest.fixture
def rig(worker: Rig) -> Iterator[Rig]:
    """The module's worker, with an empty working directory."""
    yield worker
    worker.clear()


@pytest.fixture
def server() -> Iterator[HttpCounterpart]:
    """What the http steps of a test speak to."""
    with HttpCounterpart() as made:
        yield made
