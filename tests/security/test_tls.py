"""TLS to Postgres and to RabbitMQ, with an authority that the URL names: another authority's server is refused."""

import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.errors import ConfigInvalid, StoreUnavailable
from shared.store.engine import one_statement, open_engine
from shared.transport.rabbitmq.connection import Connection, parameters
from tests.harness.authority import Authority
from tests.harness.eventually import eventually
from tests.harness.proxy import Proxy
from tests.harness.servers import PostgresServer, RabbitServer
from tests.harness.servers.postgres import unprivileged_user

_ADDRESS = "127.0.0.1"


@pytest.fixture
def trusted(tmp_path: Path) -> Authority:
    return Authority("trusted", tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority("other", tmp_path)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, trusted: Authority) -> Iterator[str]:
    """The URL of a database on a Postgres with TLS and a certificate of ``trusted``."""
    files = [shutil.copy(file, postgres_server.dir) for file in trusted.certify(_ADDRESS)]
    if user := unprivileged_user():
        for file in files:
            shutil.chown(file, user)
    for name, value in (("ssl_cert_file", files[0]), ("ssl_key_file", files[1]), ("ssl", "on")):
        postgres_server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    postgres_server.execute("SELECT pg_reload_conf()")
    yield postgres_server.create_database()
    postgres_server.execute("ALTER SYSTEM RESET ALL")
    postgres_server.execute("SELECT pg_reload_conf()")


def test_postgres_must_have_a_certificate_of_the_authority(
    postgres_url: str, trusted: Authority, other: Authority
) -> None:
    def encrypted(authority: Authority) -> bool:
        engine = open_engine(f"{postgres_url}?sslmode=verify-full&sslrootcert={authority.file}", read_only=True)
        try:
            with one_statement(engine) as connection:
                query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                return bool(connection.execute(text(query)).scalar_one())
        finally:
            engine.dispose()

    def is_encrypted() -> bool:
        try:
            return encrypted(trusted)
        except StoreUnavailable as refused:
            raise AssertionError(str(refused)) from refused

    # The server reads its settings anew a moment after it was told to.
    eventually(is_encrypted)
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        encrypted(other)


def test_rabbitmq_must_have_a_certificate_of_the_authority(
    rabbit_server: RabbitServer, trusted: Authority, other: Authority
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*trusted.certify(_ADDRESS))

    def connection_that_trusts(authority: Authority) -> Connection:
        url = f"amqps://guest:guest@{_ADDRESS}:{proxy.port}/?cacertfile={authority.file}&heartbeat=7"
        params = parameters(url, "test")
        assert params[0].heartbeat == 7
        return Connection(params, "test", on_up=lambda _connection: None, on_down=lambda _error: None)

    with Proxy(rabbit_server.port, tls=context) as proxy:
        right, wrong = connection_that_trusts(trusted), connection_that_trusts(other)
        right.start()
        wrong.start()
        try:
            assert right.up.wait(60)
            assert wrong.tried.wait(60)
            assert "certificate verify failed" in str(wrong.reason)
            assert not wrong.up.is_set()
        finally:
            right.close()
            wrong.close()


def test_an_authority_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=f"cacertfile {tmp_path}/none cannot be read"):
        parameters(f"amqps://u:p@host/?cacertfile={tmp_path}/none", "test")
    with pytest.raises(ConfigInvalid, match="cacertfile needs amqps"):
        parameters("amqp://u:p@host/?cacertfile=/ca.crt", "test")
