"""Fixtures for all tests: a real RabbitMQ and Postgres per test process, started on first use.

Each pytest-xdist worker has its own servers, so a test may stop and kill them without affecting tests
in other processes. ``DAGWAY_AMQP_URL`` and ``DAGWAY_DATABASE_URL`` in the environment replace them for
tests that only connect to a server; tests that stop or kill a server always use their own.
"""

import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none
from psycopg2 import sql

from shared import ids
from shared.store.migrate import migrate
from tests.harness.databases import migrated_sqlite
from tests.harness.eventually import PATIENCE_S
from tests.harness.needs import NEEDED, need
from tests.harness.servers import PostgresServer, RabbitServer
from tests.harness.share_out import shared_out

_OURS = {name: value for name, value in os.environ.items() if name.startswith("DAGWAY_")}

# A shell that starts the tests in the background ignores SIGINT, and so would every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis measures wall time, which says nothing while other work shares the machine.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests, which pytest-randomly has shuffled, so that processes share the long ones."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = [items[place] for place in shared_out([item.path for item in items], processes)]


def pytest_collection_finish() -> None:
    """Exclude the modules and the tests, which stay to the end, from garbage collection.

    Otherwise each full collection visits all of them: together up to an eighth of the CPU time of unit tests.
    """
    _start_hypothesis()
    gc.collect()
    gc.freeze()


def _start_hypothesis() -> None:
    """Let Hypothesis set itself up, but not measure how long garbage is collected.

    Python before 3.11.9 may change threads in its callback, in the middle of ``ast.parse``. If the other thread parses
    too, it fails with "AST constructor recursion depth mismatch" (python/cpython#106905).
    """
    callbacks = list(gc.callbacks)
    settings(max_examples=1, database=None)(given(none())(lambda _: None))()
    gc.callbacks[:] = callbacks


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which servers were missing, since a skipped test is easily taken for a passed one."""
    skipped = terminalreporter.stats.get("skipped", [])
    missing = sorted(
        {name for name in NEEDED for report in skipped if f"{name} is not installed" in str(report.longrepr)}
    )
    for name in missing:
        terminalreporter.write_sep("!", f"NOT TESTED: everything that needs {name}", red=True, bold=True)
    if missing:
        terminalreporter.write_line("scripts/ensure-servers installs what is missing (Debian, as root).")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_developers() -> None:
    for name in _OURS:
        del os.environ[name]
    os.environ.pop("DAGU_DEFAULT_SHELL", None)
    os.environ["SHELL"] = "/bin/sh"  # fixed, since SHELL differs between CI systems


@pytest.fixture(autouse=True)
def _logging_of_no_other_test() -> Iterator[None]:
    """What a test runs in its own process may call ``set_up_logging``, as each command does."""
    handlers = logging.root.handlers[:]
    chatty = ("alembic", "pika", "sqlalchemy", "waitress", "waitress.queue")
    levels = {logger: logger.level for logger in (logging.root, *map(logging.getLogger, chatty))}
    yield
    logging.root.handlers[:] = handlers
    for logger, level in levels.items():
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def _no_network_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if Path(__file__).with_name("unit") not in request.path.parents:
        return

    def refuse(link: socket.socket, address: object) -> None:
        msg = f"a unit test connects to {address!r} ({link.family.name})"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def _rabbit() -> Iterator[RabbitServer]:
    need("rabbitmq")
    with RabbitServer(in_memory=True) as server:
        yield server


@pytest.fixture
def rabbit_server(_rabbit: RabbitServer) -> RabbitServer:
    """A running RabbitMQ that only this test process uses; tests may stop, kill and restart it."""
    if not _rabbit.running:
        _rabbit.start()
    return _rabbit


@pytest.fixture
def amqp_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty vhost, or ``DAGWAY_AMQP_URL`` unchanged if it is set."""
    if given := _OURS.get("DAGWAY_AMQP_URL"):
        yield given
        return
    server: RabbitServer = request.getfixturevalue("rabbit_server")
    with server.vhost() as url:
        yield url


@pytest.fixture
def queues_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ's transports wait for their connections and queues for as long as tests do.

    In a service they wait for 5 s and go on. A test that sends at once needs the queue, which a busy machine has later.
    """
    for module in ("consumer", "transport"):
        monkeypatch.setattr(f"shared.transport.rabbitmq.{module}.OPEN_TIMEOUT_S", PATIENCE_S)


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    need("postgres")
    with PostgresServer(in_memory=True) as server:
        yield server


@pytest.fixture
def postgres_server(_postgres: PostgresServer) -> PostgresServer:
    """A running Postgres that only this test process uses; tests may stop, kill and restart it."""
    if not _postgres.running:
        _postgres.start()
    return _postgres


@pytest.fixture(scope="session")
def servers(_rabbit: RabbitServer, _postgres: PostgresServer) -> tuple[RabbitServer, PostgresServer]:
    """This test process's RabbitMQ and Postgres. Tests that stop them call ``cluster.running`` before they use them."""
    return _rabbit, _postgres


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty Postgres database; its user has all rights in it."""
    if given := _OURS.get("DAGWAY_DATABASE_URL"):
        yield from _database_on(given)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def migrated_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a Postgres database with the current schema and no rows."""
    if given := _OURS.get("DAGWAY_DATABASE_URL"):
        for url in _database_on(given):
            migrate(url)
            yield url
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_migrated_database()
    yield url
    server.drop_database(url)


def _database_on(url: str) -> Iterator[str]:
    """Create a database on the server of ``DAGWAY_DATABASE_URL``, and drop it afterwards."""
    name = sql.Identifier(database := f"dagway_test_{ids.new_token()}")
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(name))
            try:
                yield urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
            finally:
                cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(params=["embedded", "distributed"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """``(database URL, transport URL)`` of a migrated, empty database and an empty transport."""
    if request.param == "embedded":
        return migrated_sqlite(tmp_path / "dagway.db"), f"embedded:{tmp_path}/transport.db"
    return request.getfixturevalue("migrated_database_url"), request.getfixturevalue("amqp_url")
