"""Fixtures: a browser, and a whole system whose pages it opens, once per test process."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page

from shared.transport.base import COMMANDS, Outgoing
from shared.transport.open import open_transport
from tests.comparison.front_end import ADMIN, FrontEnd, Site, copy_bundle, opened
from tests.comparison.sides import Side, dagu
from tests.harness.browser import browser, watched
from tests.harness.cluster import Cluster, Deployment, Embedded, running
from tests.harness.eventually import answers_200, eventually, free_port
from tests.harness.needs import need
from tests.harness.procs import DagwayProcess

REBOUND = "rebind.evil.example"
"""An attacker's host name that the browser resolves to this machine, like a rebound DNS name."""
PLAIN_EDITOR = {"dagway plain editor": "yes"}
"""The local storage of a browser in which the plain editor was chosen: the only one of an installation without npm."""
MOST_REQUESTS = 8
"""How many different requests a page may make until it shows all that it has, its document and script included."""
_DEPLOYMENTS = ["embedded", "distributed"]
BOTH_DEPLOYMENTS = pytest.mark.parametrize("system", _DEPLOYMENTS, indirect=True)
BOTH_GUARDED = pytest.mark.parametrize("guarded", _DEPLOYMENTS, indirect=True)
"""For tests in which it matters what is behind the gateway: the same on SQLite, and on RabbitMQ and Postgres."""
DEAD_LETTERS = ("<img src=x onerror=alert(1)>", "poison")
"""The ids of messages that nobody can read. They are dead letters of ``embedded``."""
USERS = {
    "DAGWAY_AUTH_MODE": "builtin",
    "DAGWAY_AUTH_TOKEN_SECRET": "a secret of more than thirty-two characters",
    "DAGWAY_AUTH_ADMIN_PASSWORD": "correct horse",
    "DAGWAY_BASE_PATH": "/flows",
}
"""The settings of a gateway with users."""
Look = Callable[..., AbstractContextManager[Page]]
Open = Callable[..., AbstractContextManager[FrontEnd]]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    need("chromium")
    with browser(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as started:
        yield started


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    made = Embedded(tmp_path_factory.mktemp("ui"), env={"DAGWAY_QUEUES": "narrow=1"})
    # No client can send these: they are in the journal when the system starts.
    made.data_dir.mkdir()
    transport = open_transport("embedded:", name="stranger", data_dir=made.data_dir)
    transport.declare([COMMANDS])
    for message_id in DEAD_LETTERS:
        transport.send(Outgoing(COMMANDS, b"no envelope", message_id)).result(60)
    transport.close()
    with made as system:
        yield system


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two gateways, the second as ``guarded``, a scheduler and a worker, on RabbitMQ and Postgres."""
    need("rabbitmq")
    need("postgres")
    servers = running(request.getfixturevalue("_rabbit"), request.getfixturevalue("_postgres"))
    made = Cluster(tmp_path_factory.mktemp("cluster"), *servers)
    made.gateways.append(made.gateway(1, free_port(), **USERS))
    for gateway in made.gateways:
        # As long as ``dagway up`` waits and longer: on a busy machine a scheduler may take more than the usual 5 s.
        gateway.env["DAGWAY_COMMAND_WAIT_S"] = "60"
    with made as system:
        yield system


@pytest.fixture
def system(request: pytest.FixtureRequest) -> Deployment:
    """A complete system. Each test creates its own DAGs, under names that are in no name that another test uses.

    It is embedded, and with ``BOTH_DEPLOYMENTS`` distributed too.
    """
    if getattr(request, "param", "") == "distributed":
        return running_cluster(request)
    found: Embedded = request.getfixturevalue("embedded")
    return found


def running_cluster(request: pytest.FixtureRequest) -> Cluster:
    """Return the cluster with all its processes and servers: other tests of this process may have stopped some.

    Or restarted: then each gateway refuses requests until it has noticed, which would be an error on a page's console.
    """
    running(request.getfixturevalue("_rabbit"), request.getfixturevalue("_postgres"))
    cluster: Cluster = request.getfixturevalue("cluster")
    cluster.start()
    for gateway in cluster.gateways:
        health = f"{origin(gateway)}{gateway.env.get('DAGWAY_BASE_PATH', '')}/api/v2/health"
        eventually(partial(answers_200, health))
    return cluster


@pytest.fixture(scope="session")
def embedded_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with Embedded(tmp_path_factory.mktemp("guarded"), env=USERS) as system:
        yield system


@pytest.fixture
def guarded(request: pytest.FixtureRequest) -> DagwayProcess:
    """A gateway with users, below the base path ``/flows``. Its administrator is ``admin``.

    Its system is embedded, and with ``BOTH_GUARDED`` distributed too.
    """
    if getattr(request, "param", "") == "distributed":
        return running_cluster(request).gateways[1]
    found: Embedded = request.getfixturevalue("embedded_with_users")
    return found.process


def log_in(page: Page, username: str, password: str) -> None:
    """Fill in the page's login form and send it."""
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def send(page: Page, gateway: DagwayProcess, where: str, body: Any, *, status: int = 201) -> Any:
    """Send a change to ``guarded`` with the session of the page, as the page does."""
    door = origin(gateway)
    answer = page.request.post(f"{door}/flows/api/v2/{where}", headers={"Origin": door}, data=body)
    assert answer.status == status, answer.text()
    return answer.json()


@pytest.fixture
def look(chromium: Browser, system: Deployment) -> Look:
    """Return a function that opens a page of the system: ``look("#/dags")``. Errors of the page fail the test."""

    def at(place: str = "", **how: Any) -> AbstractContextManager[Page]:
        return watched(chromium, f"{origin(system)}/{place}", **how)

    return at


def worker_row(page: Page, worker: str) -> Locator:
    """Return the row of a worker: its name may be a part of a host's name, which is in other rows."""
    return page.get_by_role("row").filter(has=page.locator(".name", has_text=re.compile(f"^{re.escape(worker)}$")))


def origin(system: Deployment | DagwayProcess) -> str:
    """Return the URL of a gateway, or of a system's first one."""
    gateway = system.gateways[0] if isinstance(system, Deployment) else system
    return f"http://127.0.0.1:{gateway.env['DAGWAY_PORT']}"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Dagway with Dagu's front end, users, a queue for one run, and ``embedded`` as its node ``far``."""
    program = os.environ.get("COMPARE_DAGU", "")
    if not program:
        pytest.skip("DAGU'S FRONT END NOT TRIED: set COMPARE_DAGU to the path of a Dagu 1.30.2")
    bundle, theirs = tmp_path_factory.mktemp("bundle"), tmp_path_factory.mktemp("dagu")
    with dagu(Path(program), theirs) as real:
        copy_bundle(real.url, bundle)
    far = {"name": "far", "apiBaseURL": f"{origin(request.getfixturevalue('embedded'))}/api/v2"}
    env = {
        "DAGWAY_UI_DIR": str(bundle),
        "DAGWAY_REMOTE_NODES": json.dumps([far]),
        "DAGWAY_AUTH_MODE": "builtin",
        "DAGWAY_AUTH_TOKEN_SECRET": "a secret of more than thirty-two characters",
        "DAGWAY_AUTH_ADMIN_PASSWORD": ADMIN["password"],
        "DAGWAY_QUEUES": "narrow=1",
    }
    with Embedded(tmp_path_factory.mktemp("site"), env=env) as running:
        status, login = Side(running.client.base).ask("POST", "/auth/login", ADMIN)
        assert status == 200
        yield Site(running.client.base, token=login["token"])


@pytest.fixture(scope="session")
def session(site: Site, chromium: Browser) -> Iterator[BrowserContext]:
    """A browser in which Dagu's front end is logged in as administrator.

    It keeps the bundle from test to test, but not what the front end stores: open tabs, the node, the layout.
    """
    context = chromium.new_context(viewport={"width": 1600, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    context.add_init_script("if (!sessionStorage.begun) { localStorage.clear(); sessionStorage.begun = 'yes' }")
    context.add_init_script(f"localStorage.setItem('dagu_auth_token', '{site.token}')")
    yield context
    context.close()


@pytest.fixture
def front_end(site: Site, session: BrowserContext) -> Open:
    """Return a function that opens Dagu's front end; its arguments are the refusals that may come."""
    return lambda *expected: opened(session, site.url, *expected)
