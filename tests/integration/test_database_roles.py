"""The rights of the gateway's and the scheduler's database users, tested by statements."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from psycopg2 import sql
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from services.scheduler.loops.audit_chain import AuditChain
from shared.audit.chain import FIELDS
from shared.clock import utc_now
from shared.errors import ConfigInvalid, StoreUnavailable
from shared.store import tables as t
from shared.store.checks.verify import verify
from shared.store.engine import open_engine, transaction
from shared.store.migrate import HEAD, current, migrate, require_head
from shared.store.reads.reader import Reads
from shared.store.writes.audit import audit_rows
from shared.store.writes.transaction import Store
from tests.conformance.store_rows import NOW, add_run
from tests.harness.servers import PostgresServer

_DENIED = "permission denied|must be owner"


def _execute(url: str, *statements: str) -> None:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(sql.SQL(statement))
    connection.close()


def _as(url: str, user: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}"))


def _new_user(url: str, rights: str) -> str:
    """Create a login user for this database; return the URL with its credentials."""
    user = f"u_{rights.rsplit(maxsplit=1)[-1].lower()}_{urlsplit(url).path.strip('/')}"
    _execute(url, f"CREATE ROLE {user} LOGIN {rights}")
    return _as(url, user)


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> str:
    """The superuser's URL of an empty database, always on our own server, since the tests create users."""
    return postgres_server.create_database()


@pytest.fixture
def migrated_url(postgres_server: PostgresServer) -> str:
    """The superuser's URL of a database with the current schema and the rights of a migration."""
    return postgres_server.create_migrated_database()


@pytest.fixture
def api_url(migrated_url: str) -> str:
    """The URL of a login user in ``dagway_api``."""
    return _new_user(migrated_url, "IN ROLE dagway_api")


@pytest.fixture
def api(api_url: str) -> Iterator[Engine]:
    """An engine of the gateway's user that is not read-only, so that only the database refuses writes."""
    engine = open_engine(api_url)
    yield engine
    engine.dispose()


@pytest.fixture
def scheduler(migrated_url: str) -> Iterator[Engine]:
    """An engine of a login user in ``dagway_scheduler``."""
    engine = open_engine(_new_user(migrated_url, "IN ROLE dagway_scheduler"))
    yield engine
    engine.dispose()


def _refused(engine: Engine, statement: str) -> None:
    with pytest.raises(StoreUnavailable, match=_DENIED), transaction(engine) as connection:
        connection.exec_driver_sql(statement)


def test_the_gateways_user_reads_everything(api_url: str) -> None:
    engine = open_engine(api_url, read_only=True)

    require_head(engine)
    with transaction(engine) as connection:
        for table in t.metadata.sorted_tables:
            # Migrations make these two rows; everything else is empty.
            expected = 1 if table.name in {"counters", "run_totals_mark"} else 0
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == expected, table.name
    reads = Reads(engine)
    assert not any([reads.workers(), reads.queues(), reads.runs(), reads.dag_page().dags, reads.tags()])
    assert [result for result in verify(engine, utc_now(), 10) if result.count] == []

    engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {} DEFAULT VALUES",
        "UPDATE {} SET {}={}",
        "DELETE FROM {}",
        "TRUNCATE {} CASCADE",
        "LOCK TABLE {} IN EXCLUSIVE MODE",
        "CREATE INDEX more ON {} ((1))",
        "ALTER TABLE {} ADD COLUMN more INTEGER",
        "CREATE TRIGGER more BEFORE INSERT ON {} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "DROP TABLE {} CASCADE",
    ],
)
def test_the_gateways_user_changes_no_table(api: Engine, statement: str) -> None:
    for table in t.metadata.sorted_tables:
        first = table.columns.keys()[0]
        _refused(api, statement.replace("{}={}", f"{first} = {first}").format(table.name))


def test_the_gateways_user_makes_nothing(api: Engine) -> None:
    _refused(api, "CREATE TABLE more (x INTEGER)")
    _refused(api, "CREATE SCHEMA more")
    _refused(api, "CREATE ROLE more")
    _refused(api, "SELECT 1 FROM dags FOR UPDATE")
    _refused(api, "UPDATE alembic_version SET version_num = '0'")


_ONLY_ADDED_TO = {t.audit, t.audit_links}
_NOT_ITS_OWN = {t.audit_start}
_ITS_OWN = [table for table in t.metadata.sorted_tables if table not in _ONLY_ADDED_TO | _NOT_ITS_OWN]


def test_the_schedulers_user_writes_rows_of_every_table_but_the_audit_log(scheduler: Engine) -> None:
    run_key = add_run(scheduler, "dag", "run")

    with transaction(scheduler) as connection:
        for table in _ITS_OWN:
            first = table.columns.values()[0]
            connection.execute(update(table).values({first: first}))
        connection.execute(insert(t.queues), {"name": "q", "kind": "global"})
        connection.execute(select(t.dag_runs).where(t.dag_runs.c.run_key == run_key).with_for_update())
        for table in reversed(_ITS_OWN):
            connection.execute(delete(table))


def test_the_schedulers_user_only_adds_to_the_audit_log(migrated_url: str, scheduler: Engine) -> None:
    chain = AuditChain(Store(scheduler), keep_days=40)
    row = dict.fromkeys(FIELDS, "") | {"id": "e", "occurrences": 1, "before": {}, "after": {}}
    del row["at"]

    with Store(scheduler).begin() as tx:
        tx.write(*audit_rows([row]))
    assert chain.link() == 1

    for statement in ("UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"):
        for table in _ONLY_ADDED_TO | _NOT_ITS_OWN:
            _refused(scheduler, statement.format(table.name, table.columns.keys()[0]))
    _refused(scheduler, "INSERT INTO audit_start VALUES (1, 1, 'x', now())")
    _refused(
        scheduler,
        "CREATE OR REPLACE FUNCTION dagway_prune_audit(a integer, b integer) RETURNS integer "
        "LANGUAGE sql AS 'SELECT 1'",
    )

    # Old entries go through the owner's function only, which keeps a month whatever it is asked for.
    for days in (29, 0, -1):
        with pytest.raises(DBAPIError, match="keeps at least the last 30 days"), transaction(scheduler) as connection:
            connection.exec_driver_sql(f"SELECT dagway_prune_audit({days}, 10)")
    _execute(migrated_url, "UPDATE audit SET at = now() - interval '50 days'")
    assert chain.prune() == 1


def test_the_gateways_user_removes_nothing_from_the_audit_log(api: Engine) -> None:
    _refused(api, "SELECT dagway_prune_audit(400, 10)")


def test_the_schedulers_user_changes_no_schema(scheduler: Engine) -> None:
    for table in [*t.metadata.tables, "alembic_version"]:
        _refused(scheduler, f"ALTER TABLE {table} ADD COLUMN more INTEGER")
        _refused(scheduler, f"CREATE INDEX more ON {table} ((1))")
        _refused(scheduler, f"DROP TABLE {table} CASCADE")
        _refused(scheduler, f"TRUNCATE {table} CASCADE")


def test_the_schedulers_user_makes_nothing(scheduler: Engine) -> None:
    _refused(scheduler, "CREATE TABLE more (x INTEGER)")
    _refused(scheduler, "CREATE SCHEMA more")
    _refused(scheduler, "UPDATE alembic_version SET version_num = '0'")


def test_what_a_stolen_login_changed_of_its_own_user_is_reset(migrated_url: str, api_url: str) -> None:
    user, database = urlsplit(api_url).username, urlsplit(api_url).path.strip("/")
    with psycopg2.connect(api_url) as connection, connection.cursor() as cursor:
        for where in ("", f"IN DATABASE {database}"):
            cursor.execute(sql.SQL(f"ALTER ROLE {user} {where} SET search_path = nowhere"))
        cursor.execute(sql.SQL(f"ALTER ROLE {user} PASSWORD 'theirs'"))
    connection.close()
    thief = psycopg2.connect(api_url)
    engine = open_engine(api_url, read_only=True)
    with pytest.raises(ConfigInvalid, match="the database is empty"):
        require_head(engine)
    engine.dispose()

    page = (Path(__file__).parents[2] / "docs/operations/rotate-secrets.md").read_text()
    (statements,) = re.findall(r"```sql\n(.+?)```", page, re.DOTALL)
    statements = statements.replace("dagway_api_user", user).replace("DATABASE dagway", f"DATABASE {database}")
    for statement in statements.splitlines():
        _execute(migrated_url, statement)  # one after the other, as psql does

    with pytest.raises(psycopg2.OperationalError):
        thief.cursor().execute("SELECT 1")
    engine = open_engine(api_url, read_only=True)
    require_head(engine)
    engine.dispose()


def test_tables_made_later_are_granted_too(migrated_url: str, api: Engine, scheduler: Engine) -> None:
    _execute(migrated_url, "CREATE TABLE later (id SERIAL PRIMARY KEY, x INTEGER)")

    with transaction(scheduler) as connection:
        connection.exec_driver_sql("INSERT INTO later (x) VALUES (1)")
    with transaction(api) as connection:
        assert connection.exec_driver_sql("SELECT x FROM later").scalar_one() == 1
    _refused(api, "DELETE FROM later")


def test_an_owner_who_is_no_superuser_migrates(database_url: str) -> None:
    migrate(database_url)  # The roles belong to the server: now they are there.
    owner = _new_user(database_url, "NOSUPERUSER")
    name = f"{urlsplit(database_url).path.strip('/')}_owned"
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    connection.cursor().execute(sql.SQL(f"CREATE DATABASE {name} OWNER {urlsplit(owner).username}"))
    connection.close()
    owned = urlunsplit(urlsplit(owner)._replace(path=f"/{name}"))

    assert migrate(owned) == HEAD
    api = open_engine(_new_user(database_url, "IN ROLE dagway_api").rpartition("/")[0] + f"/{name}", read_only=True)
    require_head(api)
    with transaction(api) as held:
        assert held.execute(select(t.specs).where(t.specs.c.created_at < NOW)).all() == []
    api.dispose()


def test_a_user_who_may_not_migrate_is_told_what_to_run(database_url: str) -> None:
    user = _new_user(database_url, "NOSUPERUSER")

    with pytest.raises(ConfigInvalid, match="CREATE ROLE dagway_scheduler NOLOGIN"):
        migrate(user)

    assert current(database_url) is None


def test_a_user_who_does_not_own_the_tables_is_told_who_does(migrated_url: str, api_url: str) -> None:
    """Not to give more rights to a user who needs none."""
    _execute(migrated_url, "UPDATE alembic_version SET version_num = '0051'")

    with pytest.raises(ConfigInvalid) as refused:
        migrate(api_url)

    said = str(refused.value)
    assert said.endswith(f"Migrate as {urlsplit(migrated_url).username}, the user that owns the tables")
    assert "GRANT" not in said


def test_a_database_that_cannot_hold_all_texts_is_refused(postgres_server: PostgresServer, database_url: str) -> None:
    name = f"ascii_{urlsplit(database_url).path.strip('/')}"
    postgres_server.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0")

    with pytest.raises(ConfigInvalid, match="the encoding of the database is SQL_ASCII"):
        migrate(postgres_server.database_url(name))


def test_a_migration_and_a_check_take_longer_than_their_users_may_by_default(database_url: str) -> None:
    owner = _new_user(database_url, "SUPERUSER")
    _execute(database_url, f"ALTER ROLE {urlsplit(owner).username} SET statement_timeout = '1ms'")
    migrate(owner)
    engine = open_engine(owner, read_only=True)

    assert verify(engine, utc_now(), 10)
    with transaction(engine) as connection:
        limits = ("statement_timeout", "idle_in_transaction_session_timeout")
        assert [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in limits] == ["0", "0"]
    engine.dispose()


def test_texts_hold_all_characters_whatever_encoding_their_user_has_by_default(migrated_url: str) -> None:
    user = _new_user(migrated_url, "IN ROLE dagway_scheduler")
    _execute(migrated_url, f"ALTER ROLE {urlsplit(user).username} SET client_encoding = 'LATIN1'")
    engine = open_engine(user)

    with transaction(engine) as connection:
        connection.execute(insert(t.queues).values(name="check \N{CHECK MARK}", kind=""))
        assert connection.execute(select(t.queues.c.name)).scalar_one() == "check \N{CHECK MARK}"
    engine.dispose()
