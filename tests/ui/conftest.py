"""A browser, and a whole system for it to look at, once per test process."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.harness.browser import browser, watched
from tests.harness.cluster import Embedded
from tests.harness.needs import need

Look = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    need("chromium")
    with browser() as started:
        yield started


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A gateway with everything behind it; tests make DAGs of their own, with names of their own."""
    with Embedded(tmp_path_factory.mktemp("ui"), env={"DAGWAY_QUEUES": "narrow=1"}) as running:
        yield running


@pytest.fixture
def look(chromium: Browser, system: Embedded) -> Look:
    """``look("#/dags", ...)`` opens a watched page of the system at that place."""

    def at(place: str = "", **how: Any) -> AbstractContextManager[Page]:
        return watched(chromium, f"{origin(system)}/{place}", **how)

    return at


def origin(system: Embedded) -> str:
    """Return where a system's gateway listens."""
    return f"http://127.0.0.1:{system.process.env['DAGWAY_PORT']}"
