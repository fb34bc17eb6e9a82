"""The database users that deploy/servers creates: each has exactly the rights that it needs.

``tests/security/test_broker_users.py`` tests the broker's users. The broker's Erlang cookie is tested here.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import errors

from shared.store.migrate import migrate
from tests.deploy.manifests import ROOT
from tests.harness.broker_users import write_definitions
from tests.harness.needs import need
from tests.harness.servers import PostgresServer, postgres_bin

_SERVERS = ROOT / "deploy" / "servers"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A new server: roles belong to a whole server, and must not exist at the start of these tests.

    Its default encoding is what ``initdb`` chooses where no locale is set. Dagway's database must be UTF8 there too.
    The server's collation is not C, but that of Dagway's database is.
    """
    need("postgres")
    with PostgresServer(encoding="SQL_ASCII") as server:
        server.execute(
            "UPDATE pg_database SET datcollate = 'C.UTF-8', datctype = 'C.UTF-8' WHERE datname = 'template0'"
        )
        environ = {
            "PATH": f"{postgres_bin()}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "OWNER_PASSWORD": 'it\'s "odd" $1 \\',
            "SCHEDULER_PASSWORD": "two",
            "API_PASSWORD": "three",
        }
        argv = ["sh", str(_SERVERS / "postgres-users.sh")]
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        migrate(_as(server, "dagway_owner"))
        yield server


def _as(server: PostgresServer, user: str) -> str:
    return server.database_url("dagway").replace("postgres@", f"{user}@")


def _try(server: PostgresServer, user: str, *statements: str) -> None:
    with closing(psycopg2.connect(_as(server, user))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def test_the_order_of_the_indexes_does_not_depend_on_the_operating_system(postgres: PostgresServer) -> None:
    with closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datcollate, datctype, datcollversion FROM pg_database WHERE datname = 'dagway'")
        assert cursor.fetchone() == ("C", "C.UTF-8", None)


def test_passwords_are_stored_as_scram(postgres: PostgresServer) -> None:
    with closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolpassword, rolsuper, rolcreaterole FROM pg_authid WHERE rolname LIKE 'dagway%' AND rolcanlogin"
        )
        rows = cursor.fetchall()

    assert len(rows) == 3
    for password, superuser, makes_roles in rows:
        assert password.startswith("SCRAM-SHA-256$")
        assert (superuser, makes_roles) == (False, False)


def test_the_gateways_user_reads_and_can_do_nothing_else(postgres: PostgresServer) -> None:
    _try(postgres, "dagway_api_user", "SELECT count(*) FROM dag_runs")

    for statement in ("DELETE FROM dag_runs", "CREATE TABLE mine (x int)", "DROP TABLE dag_runs"):
        with pytest.raises(errors.InsufficientPrivilege):
            # Its sessions are read-only by default. That alone would not protect, since a session can change it.
            _try(postgres, "dagway_api_user", "SET default_transaction_read_only = off", statement)


def test_the_schedulers_user_writes_rows_and_changes_no_table(postgres: PostgresServer) -> None:
    _try(postgres, "dagway_scheduler_user", "DELETE FROM dag_runs")

    for statement in ("ALTER TABLE dag_runs ADD COLUMN mine int", "DROP TABLE dag_runs", "DELETE FROM alembic_version"):
        with pytest.raises(errors.InsufficientPrivilege):
            _try(postgres, "dagway_scheduler_user", statement)


def test_each_start_of_the_broker_has_another_erlang_cookie(tmp_path: Path) -> None:
    cookies = []
    for _ in range(2):
        write_definitions(tmp_path)
        file = tmp_path / ".erlang.cookie"
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(0o400)  # as Erlang makes it
        cookies.append(file.read_text())
    assert cookies[0] != cookies[1]
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in cookies)
