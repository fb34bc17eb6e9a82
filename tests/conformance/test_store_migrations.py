"""The migrations create exactly the schema that the code defines. A failed migration changes nothing."""

import logging
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, inspect, select
from sqlalchemy.exc import DBAPIError

from shared.errors import ConfigInvalid
from shared.store import tables as t
from shared.store.create_schema import create_schema
from shared.store.engine import open_engine, transaction
from shared.store.migrate import HEAD, SCRIPTS, current, migrate, require_head
from tests.conformance.store_rows import add_node, add_run
from tests.golden.code import unpack_code
from tests.harness.databases import migrated_sqlite
from tests.harness.eventually import eventually
from tests.harness.servers import PostgresServer

_SHAPE_POSTGRES = """
    SELECT 'column', table_name, column_name, data_type, character_maximum_length::text, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'comment', relname, '', obj_description(oid), '', '', ''
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""

_FAILS_HALFWAY = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade():
    op.create_table("half", sa.Column("x", sa.Integer()))
    op.execute("INSERT INTO queues (name, kind) VALUES ('half', 'global')")
    op.execute("SELECT nothing FROM nowhere")
"""

_REBUILDS = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade():
    with op.batch_alter_table("dag_runs") as runs:
        runs.add_column(sa.Column("more", sa.Integer(), nullable=True))
        runs.create_check_constraint("ck_dag_runs_more", "more > 0")
"""

_MANY_ROWS = """
    INSERT INTO specs (hash, yaml, created_at) VALUES ('h', '', now());
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, spec_hash, status, version, last_seq, run_attempt, queue,
                          given, params, env, created_at)
    SELECT 'd/' || n, 'd', n, 'h', 'succeeded', 1, 0, 1, 'd', '', '[]', '[]', now() FROM generate_series(1, 5000) AS n;
    UPDATE dag_runs SET version = 2;
"""


def _scripts_with(tmp_path: Path, revision: str) -> Path:
    """Return a copy of the migrations with an additional last one."""
    scripts = tmp_path / "100% migrations"
    shutil.copytree(SCRIPTS, scripts)
    (scripts / "versions" / "r9999_more.py").write_text(revision.format(head=HEAD))
    return scripts


def _scripts_until(tmp_path: Path, last: str) -> Path:
    """Return a copy of the migrations without those after ``last``."""
    scripts = shutil.copytree(SCRIPTS, tmp_path / "migrations")
    for path in (scripts / "versions").glob("r*.py"):
        if path.stem[1:5] > last:
            path.unlink()
    return scripts


def _shape(connection: Connection) -> list[str]:
    if connection.dialect.name == "postgresql":
        rows = connection.exec_driver_sql(_SHAPE_POSTGRES).all()
        return sorted(str(tuple(row)) for row in rows if "alembic_version" not in str(row))
    found = []
    inspector = inspect(connection)
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        # A column that came later stands last: the order means nothing.
        found += sorted(f"{table} column {dict(column)}" for column in inspector.get_columns(table))
        for ask in ("get_pk_constraint", "get_foreign_keys", "get_unique_constraints", "get_check_constraints"):
            found.append(f"{table} {ask} {getattr(inspector, ask)(table)}")
    indexes = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    return found + sorted(indexes.scalars())


def _declared_shape(connection: Connection) -> list[str]:
    """Return the shape of the tables as the program declares them, which replace those of the database."""
    if connection.dialect.name == "postgresql":
        # Policies that refer to other tables than their own, which could then not be dropped.
        for table in connection.exec_driver_sql("SELECT DISTINCT tablename FROM pg_policies").scalars().all():
            connection.exec_driver_sql(f"DROP POLICY workspace ON {table}")
    t.metadata.drop_all(connection)
    t.metadata.create_all(connection)
    return _shape(connection)


def test_head_is_the_last_revision_and_there_are_no_branches() -> None:
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS))

    assert ScriptDirectory.from_config(settings).get_heads() == [HEAD]


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_migrations_make_exactly_the_tables_of_the_program(engine: Engine) -> None:
    assert t.users.metadata is t.metadata
    with transaction(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, t.metadata)
        migrated, declared = _shape(connection), _declared_shape(connection)

    # Alembic cannot compare indexes over expressions; below they are, by their text.
    assert [each for each in differences if "index" not in each[0]] == []
    assert migrated == declared


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_a_database_of_the_last_release_gets_the_same_tables(empty_url: str, tmp_path: Path) -> None:
    release = unpack_code(tmp_path / "release")
    migrate(empty_url, scripts=release / "shared/store/migrations")
    migrate(empty_url)

    engine = open_engine(empty_url)
    with transaction(engine) as connection:
        assert _shape(connection) == _declared_shape(connection)
    engine.dispose()


def test_a_database_that_has_the_index_of_the_calendar_already_is_upgraded(empty_url: str, tmp_path: Path) -> None:
    migrate(empty_url, scripts=_scripts_until(tmp_path, "0052"))
    engine = open_engine(empty_url)
    with transaction(engine) as connection:
        connection.exec_driver_sql("CREATE INDEX ix_cron_slots_slot_at ON cron_slots (slot_at)")
    engine.dispose()

    assert migrate(empty_url) == HEAD


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    assert current(empty_url) is None
    assert migrate(empty_url) == HEAD
    assert current(empty_url) == HEAD
    assert migrate(empty_url) == HEAD


def test_many_processes_may_migrate_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(migrate, [empty_url] * 4))

    assert answers == [HEAD] * 4


def test_a_failing_revision_leaves_nothing_behind(store_url: str, tmp_path: Path) -> None:
    scripts = _scripts_with(tmp_path, _FAILS_HALFWAY)

    with pytest.raises(DBAPIError, match="nowhere"):
        migrate(store_url, scripts=scripts)

    assert current(store_url) == HEAD
    engine = open_engine(store_url)
    with transaction(engine) as connection:
        assert not inspect(connection).has_table("half")
        assert connection.execute(select(func.count()).select_from(t.queues)).scalar_one() == 0
    engine.dispose()
    assert migrate(store_url) == HEAD


def test_rebuilding_a_table_keeps_the_rows_that_refer_to_it(engine: Engine, store_url: str, tmp_path: Path) -> None:
    run_key = add_run(engine, "dag", "run")
    add_node(engine, run_key, 0, "step")

    assert migrate(store_url, scripts=_scripts_with(tmp_path, _REBUILDS)) == "9999"

    with transaction(engine) as connection:
        assert connection.execute(select(t.nodes.c.name)).scalars().all() == ["step"]


def test_require_head_says_what_to_do(empty_url: str) -> None:
    reader = open_engine(empty_url, read_only=True)

    with pytest.raises(ConfigInvalid, match="empty.*run dagway migrate"):
        require_head(reader)
    migrate(empty_url)
    require_head(reader)

    reader.dispose()


def test_an_older_schema_is_refused_naming_both_revisions(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")

    with pytest.raises(ConfigInvalid, match=f"has schema 0001, but this program needs {HEAD}: run dagway migrate"):
        require_head(engine)


def test_reading_the_revision_makes_no_file(tmp_path: Path) -> None:
    assert current(f"sqlite:///{tmp_path}/x.db") is None
    assert list(tmp_path.iterdir()) == []


def test_migrating_makes_the_folder(tmp_path: Path) -> None:
    assert migrate(f"sqlite:///{tmp_path}/a/b/x.db") == HEAD
    assert (tmp_path / "a/b/x.db").is_file()


def test_a_migrated_file_is_recognised_without_alembic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = migrated_sqlite(tmp_path / "store.db")
    monkeypatch.setitem(sys.modules, "alembic", None)  # an import of it fails

    assert migrate(url) == HEAD


def test_an_empty_file_is_migrated_without_alembic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "alembic", None)  # an import of it fails
        assert migrate(url) == HEAD

    # A later version can upgrade it.
    assert migrate(url, scripts=_scripts_with(tmp_path, _REBUILDS)) == "9999"


def test_a_file_with_tables_and_without_a_revision_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(DBAPIError, match="already exists"):
        migrate(create_schema(tmp_path / "store.db"))


def test_a_schema_without_revisions_is_that_of_the_revisions(tmp_path: Path) -> None:
    """``create_tables`` must not fall behind the revisions."""

    def described(url: str) -> tuple[dict[str, object], dict[str, object]]:
        engine = open_engine(url, read_only=True)
        try:
            with engine.connect() as connection:
                found = connection.exec_driver_sql("SELECT name, type FROM sqlite_master")
                parts: dict[str, object] = {}
                for name, kind in found.all():
                    info = connection.exec_driver_sql(f"PRAGMA {kind}_info({name})").all()
                    parts[name] = sorted(str(tuple(row)[2 if kind == "index" else 1 :]) for row in info)
                rows: dict[str, object] = {
                    name: connection.execute(select(table)).all() for name, table in t.metadata.tables.items()
                }
                return parts, {name: found for name, found in rows.items() if found}
        finally:
            engine.dispose()

    new = f"sqlite:///{tmp_path}/new.db"
    migrate(new)
    assert described(new) == described(migrated_sqlite(tmp_path / "migrated.db"))


@pytest.mark.parametrize("empty_url", ["postgres"], indirect=True)
def test_logs_and_messages_are_compressed_by_lz4(empty_url: str) -> None:
    migrate(empty_url)
    query = "SELECT attname FROM pg_attribute WHERE attcompression = 'l' ORDER BY attname"
    with open_engine(empty_url).connect() as connection:
        able = connection.exec_driver_sql("SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'")
        assert "lz4" in able.scalar_one()
        assert connection.exec_driver_sql(query).scalars().all() == ["body", "data"]


@pytest.mark.parametrize("empty_url", ["postgres"], indirect=True)
def test_an_index_is_made_while_others_write_and_again_if_that_failed(
    empty_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not on SQLite, where a migration is one transaction, and nothing else is running."""
    migrate(empty_url)
    engine = open_engine(empty_url)
    writer = engine.connect()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0051'")
        # What an attempt that was ended halfway leaves.
        connection.exec_driver_sql(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_dag_runs_long_id'::regclass"
        )
    add_run(engine, "dag", "first")

    def waits() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%CONCURRENTLY%%' AND wait_event_type = 'Lock'"
        here = "datname = current_database() AND pid <> pg_backend_pid()"
        with engine.connect() as connection:
            return bool(connection.exec_driver_sql(f"{query} AND {here}").scalar_one())

    with ThreadPoolExecutor(1) as pool, writer.begin():
        pid = writer.exec_driver_sql("UPDATE dag_runs SET status = 'failed' RETURNING pg_backend_pid()").scalar()
        migrated = pool.submit(migrate, empty_url)
        eventually(waits)
        eventually(lambda: f"pid {pid}, dagway" in [vars(each).get("held_by") for each in caplog.records])
        # The migration waits for the open transaction; no other writer waits for the migration.
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
            connection.exec_driver_sql("UPDATE queues SET kind = kind")
            connection.exec_driver_sql("LOCK TABLE dag_runs IN ROW EXCLUSIVE MODE")
        assert not migrated.done()
        writer.commit()
        assert migrated.result(timeout=60) == HEAD

    with engine.connect() as connection:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_dag_runs_long_id'::regclass"
        assert connection.exec_driver_sql(valid).scalar_one()
    writer.close()
    engine.dispose()


@pytest.mark.parametrize("empty_url", ["postgres"], indirect=True)
def test_others_use_a_table_while_a_revision_waits_for_a_long_reader(
    empty_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(empty_url, scripts=_scripts_until(tmp_path, "0049"))
    engine = open_engine(empty_url)
    backup = open_engine(empty_url, application_name="backup").connect()

    def tries() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.message == "migration.waits"]

    def read() -> bool:
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
            connection.exec_driver_sql("SELECT count(*) FROM dag_runs")
        return True

    with ThreadPoolExecutor(1) as pool, backup.begin():
        pid = backup.exec_driver_sql("SELECT pg_backend_pid(), count(*) FROM dag_runs").scalar()
        migrated = pool.submit(migrate, empty_url)
        eventually(lambda: read() and len(tries()) >= 2)
        assert not migrated.done()
        backup.commit()
        assert migrated.result(timeout=60) == HEAD

    # A third try may have failed just before the backup ended.
    assert {vars(each)["held_by"] for each in tries()[:2]} == {f"pid {pid}, backup"}
    backup.close()
    engine.dispose()


@pytest.mark.parametrize("empty_url", ["postgres"], indirect=True)
def test_a_migration_says_for_which_other_one_it_waits(empty_url: str, caplog: pytest.LogCaptureFixture) -> None:
    other = open_engine(empty_url, application_name="other").connect()
    pid = other.exec_driver_sql("SELECT pg_backend_pid(), pg_advisory_lock(x'646167776179'::bigint)").scalar()
    with ThreadPoolExecutor(1) as pool:
        migrated = pool.submit(migrate, empty_url)
        try:
            eventually(lambda: f"pid {pid}, other" in [vars(each).get("held_by") for each in caplog.records])
        finally:
            other.invalidate()
        assert migrated.result(timeout=60) == HEAD


def test_a_revision_does_not_wait_for_the_end_of_an_autovacuum(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """That of a large table takes hours. Postgres ends it for a session that waits for ``deadlock_timeout``."""
    url = postgres_server.create_database()
    migrate(url, scripts=_scripts_until(tmp_path, "0049"))
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(_MANY_ROWS)
        slow = "autovacuum_vacuum_threshold=0, autovacuum_vacuum_cost_delay=100, autovacuum_vacuum_cost_limit=1"
        connection.exec_driver_sql(f"ALTER TABLE dag_runs SET ({slow})")

    def vacuumed() -> bool:
        query = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'dag_runs'::regclass"
        with engine.begin() as connection:
            return bool(connection.exec_driver_sql(query).scalar_one())

    postgres_server.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    postgres_server.execute("SELECT pg_reload_conf()")
    try:
        eventually(vacuumed)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(migrate, url).result(timeout=60) == HEAD
    finally:
        postgres_server.execute("ALTER SYSTEM RESET autovacuum_naptime")
        postgres_server.execute("SELECT pg_reload_conf()")
    engine.dispose()
    postgres_server.drop_database(url)
