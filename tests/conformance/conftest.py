"""Fixtures for the databases and brokers that the conformance tests run on."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine, make_url

from services.api.auth import tokens
from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from shared.transport.base import Transport
from shared.transport.open import open_transport
from tests.conformance.rest_live import Live, open_live
from tests.conformance.rest_stack import Stack, open_stack
from tests.conformance.transport_moves import Open
from tests.harness.databases import migrated_sqlite
from tests.harness.eventually import PATIENCE_S
from tests.harness.linked_transport import EmbeddedOverLink
from tests.harness.needs import need
from tests.harness.servers import PgBouncer, PostgresServer


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a whole system runs on: a migrated database, a transport, a folder. Each test module has its own."""

    database_url: str
    transport_url: str
    folder: Path


@pytest.fixture(scope="package", autouse=True)
def _cheap_password_hashes() -> Iterator[None]:
    """Hash passwords in 50 µs, not in 0.2 s. tests/unit/api/test_passwords.py has the real cost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "PasswordHasher", partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(params=["embedded", "distributed"], scope="module")
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The embedded deployment, then the distributed one (parametrised)."""
    folder = tmp_path_factory.mktemp("deployment")
    if request.param == "embedded":
        yield Deployment(migrated_sqlite(folder / "dagway.db"), f"embedded:{folder}/transport.db", folder)
        return
    postgres, rabbit = request.getfixturevalue("_postgres"), request.getfixturevalue("_rabbit")
    with rabbit.vhost() as vhost:
        yield Deployment(postgres.create_migrated_database(), vhost, folder)


@pytest.fixture(scope="module")
def live(deployment: Deployment) -> Iterator[Live]:
    """A running system without authentication, which the tests of a module share."""
    with open_live(deployment) as opened:
        yield opened


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A gateway alone, on an empty SQLite database."""
    with open_stack(tmp_path) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, on SQLite and on Postgres (parametrised)."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    url: str = request.getfixturevalue("database_url")
    return url


@pytest.fixture(scope="session")
def pooler(_postgres: PostgresServer) -> Iterator[PgBouncer]:
    """A PgBouncer in transaction mode before the Postgres of this test process."""
    need("pgbouncer")
    with PgBouncer(_postgres) as started:
        yield started


@pytest.fixture(params=["sqlite", "postgres", "pgbouncer"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with the current schema and no rows.

    On SQLite, on Postgres, and on Postgres behind PgBouncer (parametrised).
    """
    if request.param == "sqlite":
        yield migrated_sqlite(tmp_path / "store.db")
    elif request.param == "pgbouncer":
        bouncer: PgBouncer = request.getfixturevalue("pooler")
        url = bouncer.postgres.create_migrated_database()
        yield bouncer.url_of(url)
        bouncer.postgres.drop_database(url)
    else:
        yield request.getfixturevalue("migrated_database_url")


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    """A SQLAlchemy engine that may write."""
    opened = open_engine(_patient(store_url), pool_size=8)
    yield opened
    opened.dispose()


@pytest.fixture
def reader(store_url: str) -> Iterator[Engine]:
    """A read-only SQLAlchemy engine, opened as the gateway opens its engine."""
    opened = open_engine(_patient(store_url), read_only=True)
    yield opened
    opened.dispose()


def _patient(url: str) -> str:
    """Return the URL for connections that wait longer than the product's, as long as tests do.

    On a busy machine a server may take more than 5 s to accept one. SQLite's wait for each other, and nothing says
    whose turn it is, so one may get none for 10 s; the product's threads take turns (see ``SqliteWriter``).
    """
    setting = "timeout" if url.startswith("sqlite:") else "connect_timeout"
    return make_url(url).update_query_dict({setting: f"{PATIENCE_S:.0f}"}).render_as_string(hide_password=False)


@pytest.fixture
def reads(reader: Engine) -> Reads:
    """The reads of the gateway, on ``reader``."""
    return Reads(reader)


@pytest.fixture(params=["embedded", "linked", "rabbitmq"])
def kind(request: pytest.FixtureRequest) -> str:
    """The transports; ``linked`` is the embedded one as the worker of `dagway up` uses it (parametrised)."""
    return str(request.param)


@pytest.fixture
def reopen(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens another transport on the same broker.

    On the embedded transport, also over a link, it first closes the previous one.
    """
    opened: list[Transport] = []
    url = "embedded:"
    if kind == "rabbitmq":
        request.getfixturevalue("queues_are_awaited")
        url = str(request.getfixturevalue("amqp_url"))

    def build() -> Transport:
        if kind != "rabbitmq" and opened:
            opened[-1].close()
        transport: Transport
        if kind == "linked":
            transport = EmbeddedOverLink(tmp_path / "transport.sqlite3")
        else:
            transport = open_transport(url, name="conformance", data_dir=tmp_path)
        opened.append(transport)
        return transport

    yield build
    for transport in opened:
        transport.close()


@pytest.fixture
def transport(reopen: Open) -> Transport:
    return reopen()
