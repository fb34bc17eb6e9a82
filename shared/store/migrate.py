"""Migrates a database to the schema of this program, and checks which schema a database has.

Several processes may call ``migrate`` at the same time: one migrates, the others wait and then find nothing to do. A
revision that fails changes nothing. Only ``migrate`` imports Alembic, because the import takes a quarter of a second.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    event,
    exc,
    inspect,
    make_url,
    select,
)
from sqlalchemy.engine.interfaces import DBAPIConnection

from shared.errors import ConfigInvalid, StoreUnavailable
from shared.private_files import private_file
from shared.store.create_schema import create_tables
from shared.store.engine import PERMISSION_DENIED, is_postgres, open_engine, store_errors
from shared.store.migration_waits import waits_are_told
from shared.store.tables import metadata
from shared.store.time_limits import TimeLimits

__all__ = ["HEAD", "SCRIPTS", "current", "migrate", "require_head", "revision"]

_log = logging.getLogger(__name__)

HEAD = "0055"
"""The revision this program needs: the last one in ``SCRIPTS``."""

SCRIPTS = Path(__file__).with_name("migrations")

_LOCK = 0x6461_6777_6179
"""The key of the advisory lock that only Dagway's migrations take: "dagway" in ASCII."""

_LOOK_S = 0.2
"""How often a migration looks whether another one has ended."""

_NOT_ENDED = "another migration of the database has not ended"
_LOOKS = 25
"""After how many looks it says for whom it waits: most migrations have ended by then."""

_LOCK_WAIT_S = 2
"""How long a revision waits for a lock: for so long all others that need the table wait behind it.

It is longer than the usual ``deadlock_timeout`` of 1 s, after which Postgres ends an autovacuum that is in the way.
"""

_OTHERS_TURN_S = 3
"""How long the others then have the table for themselves, before the revision tries again."""

_LOCKED = frozenset({"55P03", "40P01"})
"""SQLSTATEs: no lock within ``_LOCK_WAIT_S``; a deadlock, for which Postgres ended this transaction."""

_HOW_TO = """the database user {user} lacks a privilege: {what}. Run this SQL as an administrator, then migrate again:
  CREATE ROLE dagway_scheduler NOLOGIN;
  CREATE ROLE dagway_api NOLOGIN;
  GRANT CREATE, USAGE ON SCHEMA public TO "{user}";
  GRANT USAGE ON SCHEMA public TO dagway_scheduler, dagway_api;"""

_NOT_OWNER = """the database user {user} lacks a privilege: {what}. Migrate as {owner}, the user that owns the tables"""

_NOT_UTF8 = """the encoding of the database is {encoding}: it cannot hold every text. Create it like this:
  CREATE DATABASE dagway OWNER "{user}" ENCODING 'UTF8' LC_COLLATE 'C' TEMPLATE template0;"""

_OTHER_OWNER = """
    SELECT tableowner FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'alembic_version'
    AND NOT pg_has_role(tableowner, 'USAGE')
"""
"""Who owns the tables, if the user of the session does not."""

_LOCKS = """
    SELECT DISTINCT virtualtransaction, concat_ws(', ', 'pid ' || pid, nullif(application_name, ''))
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'relation' AND granted AND datname = current_database() AND pid <> pg_backend_pid()
"""
"""Who has a lock of a table. A user who is no superuser does not see since when."""

_OTHER_MIGRATION = """
    SELECT concat_ws(', ', 'pid ' || pid, nullif(application_name, '')) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
    AND classid::bigint << 32 | objid::bigint = %s
"""
"""Who has the lock of migrations. If its machine has died, Postgres may take hours to notice it."""

_revision = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's table, as Alembic makes it."""


def migrate(url: str, *, scripts: Path = SCRIPTS, stop: threading.Event | None = None) -> str:
    """Apply every revision in ``scripts`` that the database lacks, and return the name of the last revision.

    On SQLite: create the file and its folder, for their owner only, and apply all revisions in one transaction; an
    empty database gets the schema of the last revision at once (ADR 61). On Postgres each revision is one transaction,
    except for indexes of large tables (``create_index_online``). A revision waits in short turns for the end of a
    transaction that reads a table, such as a backup's, and others use the table in between. ``stop`` ends such a wait.
    A later schema stays as it is (see ``require_head``), so that an installation can go back to the version before.

    Raises:
        ConfigInvalid: another version of Dagway migrated the database, its encoding is not UTF8, or the database user
            lacks a privilege; the error text has the SQL that mends it.
        StoreUnavailable: the database is unavailable, or ``stop`` was set while the migration waited for others.
    """
    limits = TimeLimits(lock_s=_LOCK_WAIT_S)
    engine = open_engine(url, pool_size=2, application_name="dagway migrate", limits=limits)
    if not is_postgres(engine):
        path = Path(make_url(url).database or "")
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        private_file(path)
        event.listen(engine, "connect", _let_tables_be_rebuilt)
    try:
        with store_errors(), _missing_rights_named(engine), engine.connect() as connection:
            if is_postgres(engine):
                _require_utf8(connection)
                return _migrate_postgres(connection, scripts, stop or threading.Event())
            return _migrate_sqlite(connection, scripts)
    finally:
        engine.dispose()


@contextmanager
def _missing_rights_named(engine: Engine) -> Iterator[None]:
    """Raise ``ConfigInvalid``, with what to do, if the block raises because the database user lacks a privilege."""
    try:
        yield
    except exc.ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != PERMISSION_DENIED:
            raise
        what = str(error.orig).strip().splitlines()[0]
        with engine.connect() as connection:
            owner = connection.exec_driver_sql(_OTHER_OWNER).scalar()
        how = _HOW_TO if owner is None else _NOT_OWNER
        raise ConfigInvalid(how.format(what=what, user=engine.url.username, owner=owner)) from error


def _let_tables_be_rebuilt(connection: DBAPIConnection, _record: object) -> None:
    # On SQLite, ALTER TABLE means "copy, drop, rename", and the drop would cascade. Foreign keys can be switched off
    # only outside of a transaction; ``_migrate_sqlite`` checks them before the commit instead.
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.close()


def _require_utf8(connection: Connection) -> None:
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise ConfigInvalid(_NOT_UTF8.format(encoding=encoding, user=connection.engine.url.username))


def _migrate_postgres(connection: Connection, scripts: Path, stop: threading.Event) -> str:
    # A session lock: it is held over all transactions, and is released when the session ends. It is tried again and
    # again: a statement that waited for it would be a transaction for whose end an online index waits.
    looks = 0
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LOCK})").scalar_one():
        looks += 1
        if looks == _LOOKS and (who := connection.exec_driver_sql(_OTHER_MIGRATION, (_LOCK,)).scalar()):
            _log.warning("migration.waits", extra={"error": _NOT_ENDED, "held_by": who})
        connection.commit()
        if stop.wait(_LOOK_S):
            raise StoreUnavailable(_NOT_ENDED)
    connection.commit()
    while True:
        try:
            with waits_are_told(connection, stop):
                return _upgrade(connection, scripts)
        except exc.DBAPIError as error:
            if getattr(error.orig, "pgcode", None) not in _LOCKED:
                raise
            connection.rollback()
            # An online index waits without a limit, and may have been what failed.
            connection.exec_driver_sql("RESET lock_timeout")
            before = _locks(connection)
            if stop.wait(_OTHERS_TURN_S):
                raise
            why = str(error.orig).strip().splitlines()[0]
            long = sorted(who for _, who in before & _locks(connection))
            _log.warning("migration.waits", extra={"error": why, "held_by": ", and ".join(long)})


def _locks(connection: Connection) -> set[tuple[str, str]]:
    found = connection.exec_driver_sql(_LOCKS).all()
    connection.commit()
    return {(transaction, who) for transaction, who in found}


def _migrate_sqlite(connection: Connection, scripts: Path) -> str:
    with connection.begin():
        if scripts == SCRIPTS and not inspect(connection).get_table_names():
            create_tables(connection)
            _revision.create(connection)
            connection.execute(_revision.insert().values(version_num=HEAD))
            return HEAD
        # Every start of ``dagway up`` comes here, mostly to find nothing to do: then it need not import Alembic.
        done = scripts == SCRIPTS and revision(connection) == HEAD
        head = HEAD if done else _upgrade(connection, scripts)
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise ConfigInvalid(
                f"the database is damaged: a row of table {broken[0]} refers to a row that does not exist; "
                "restore a backup"
            )
    return head


def _upgrade(connection: Connection, scripts: Path) -> str:
    from alembic import command, config, script, util  # noqa: PLC0415 - see the module's docstring

    settings = config.Config()
    settings.set_main_option("script_location", str(scripts).replace("%", "%%"))
    settings.attributes["connection"] = connection
    head = script.ScriptDirectory.from_config(settings).get_current_head()
    if head is None:
        raise ConfigInvalid(f"found no migrations in {scripts}: reinstall Dagway")
    try:
        command.upgrade(settings, "head")
    except util.CommandError as error:
        if is_postgres(connection.engine) and (later := _later_revision(connection)):
            return later
        # Alembic's text names the revision that it has no script for.
        raise ConfigInvalid(
            f"a newer version of Dagway migrated the database, or one from before the last release ({error}): "
            "install the newer one; older databases cannot be upgraded"
        ) from error
    return head


def _later_revision(connection: Connection) -> str | None:
    """Return the schema's revision if it is later than this program's and has all that this program uses."""
    found = revision(connection)
    if found is None or found <= HEAD:
        return None
    there = inspect(connection).get_multi_columns()
    columns = {(name, each["name"]) for (_, name), of_table in there.items() for each in of_table}
    used = {(table.name, column.name) for table in metadata.sorted_tables for column in table.columns}
    return found if used <= columns else None


def revision(connection: Connection) -> str | None:
    """Return the schema revision of a database, or ``None`` if there is none that its user may read."""
    if not inspect(connection).has_table(_revision.name):
        return None
    try:
        return connection.execute(select(_revision.c.version_num)).scalar()
    except exc.ProgrammingError as error:
        # The first migration grants the rights of schedulers and gateways long after it has made this table.
        if getattr(error.orig, "pgcode", None) != PERMISSION_DENIED:
            raise
        return None


def current(url: str) -> str | None:
    """Return the schema revision of a database, or ``None`` if it is empty or the SQLite file does not exist.

    Raises:
        StoreUnavailable: the database is unavailable.
    """
    engine = open_engine(url, pool_size=1, read_only=True, application_name="dagway migrate")
    if not is_postgres(engine) and not Path(engine.url.database or "").exists():
        return None
    try:
        with store_errors(), engine.connect() as connection:
            return revision(connection)
    finally:
        engine.dispose()


def require_head(engine: Engine) -> None:
    """Check that the database has the schema of this program or a later schema.

    A later schema is fine because revisions only add tables and columns, with defaults. So a program keeps working
    while the next version is rolled out, and after a rollback from that version.

    Raises:
        ConfigInvalid: the database has an older schema or none; the error text says what to do.
        StoreUnavailable: the database is unavailable.
    """
    with store_errors(), engine.connect() as connection:
        found = revision(connection)
    if found is None:
        raise ConfigInvalid(
            f"the database is empty, or its user may not read it, but this program needs schema {HEAD}: "
            "run dagway migrate"
        )
    if found < HEAD:
        raise ConfigInvalid(f"the database has schema {found}, but this program needs {HEAD}: run dagway migrate")
