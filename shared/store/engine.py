"""Engines on Postgres and SQLite, and the SQL that differs between them.

Guarantees on both databases: a transaction sees only committed rows; on a read-only engine it sees one snapshot.
A committed write transaction is on disk. No update is lost when two transactions write the same row (Postgres: read
the row with ``for_update``; SQLite: one write transaction at a time). ``store_errors`` translates driver exceptions
into those of ``shared.errors``, except exceptions that mean a bug in our SQL.

Nothing here retries: the caller that gets ``StoreUnavailable`` decides whether to retry.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Insert,
    QueuePool,
    Select,
    Table,
    create_engine,
    event,
    exc,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import ExceptionContext

from shared.errors import AlreadyExists, ConfigInvalid, InvariantBroken, RowsLocked, StoreUnavailable
from shared.store.room_metrics import DISK_FULL
from shared.store.sqlite_driver import execute_on_sqlite
from shared.store.sqlite_log import use_write_ahead_log
from shared.store.time_limits import LOCK_TIMEOUT_S, NO_LIMITS, TimeLimits
from shared.store.workspace_scope import name_workspaces

__all__ = [
    "PERMISSION_DENIED",
    "for_update",
    "has_own_session",
    "insert_for",
    "insert_ignore",
    "is_postgres",
    "one_statement",
    "open_engine",
    "store_errors",
    "transaction",
    "without_time_limit",
]

S = TypeVar("S", bound=Select[Any])

_CONNECT_TIMEOUT_S = 3

_PASSING_SQLITE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Primary result codes of temporary conditions. SQLITE_ERROR is not temporary: it means that our SQL is wrong."""

_LOCK_NOT_AVAILABLE = "55P03"
PERMISSION_DENIED = "42501"
_PASSING_POSTGRES = frozenset({"40001", "40P01", _LOCK_NOT_AVAILABLE, PERMISSION_DENIED})
"""SQLSTATEs of temporary conditions: serialization failure, deadlock, lock not available, and rights that are missing
until somebody grants them again: no message is to blame."""

_READ_ONLY_TRANSACTION = "25006"
_DISK_FULL = "53100"
_UNIQUE_VIOLATION = "23505"
_POOLED = "dagway_pooled"
"""The execution option of engines that reach Postgres through a pooler."""
_SQLITE_UNIQUE = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})


def open_engine(
    url: str,
    *,
    pool_size: int = 5,
    read_only: bool = False,
    synced: bool = True,
    application_name: str = "dagway",
    limits: TimeLimits = NO_LIMITS,
) -> Engine:
    """Return an engine with at most ``pool_size`` connections. It connects at its first use.

    Driver settings in the URL's query (``connect_timeout``, ``sslmode``, ``timeout``) take precedence over ours.
    ``pooler=transaction`` there means that PgBouncer lends a server's session for one transaction at a time: all
    settings are then made in each transaction, which costs a round trip.

    A ``read_only`` engine refuses every write, even if its database role could write. A broken connection
    empties the pool: the call that used the connection raises, and the next call reconnects. ``limits`` apply on
    Postgres only. If one is reached, the call raises ``StoreUnavailable``, or ``RowsLocked`` if it waited for a lock.

    ``synced=False`` is for a SQLite database that ends with its process: a commit does not wait for the disk.

    Raises:
        ConfigInvalid: ``url`` names neither a Postgres nor a SQLite database, or an unknown kind of pooler.
    """
    parsed = _normalise(url)
    common: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": LOCK_TIMEOUT_S,
        "poolclass": QueuePool,
        "pool_use_lifo": True,
        "json_serializer": _dump_json,
    }
    if parsed.get_backend_name() == "postgresql":
        return _open_postgres(parsed, common, read_only, application_name, limits)
    return _open_sqlite(parsed, common, read_only, synced)


def is_postgres(bind: Engine | Connection) -> bool:
    """Return whether ``bind`` is on Postgres (else it is on SQLite). Use it only where their SQL differs."""
    return bind.dialect.name == "postgresql"


def has_own_session(connection: Connection) -> bool:
    """Return whether a connection keeps one session of Postgres, as no pooler lends it another one."""
    return is_postgres(connection) and not connection.get_execution_options().get(_POOLED)


_SEVERAL_SERVERS = (
    "DAGWAY_DATABASE_URL: cannot tell hosts from ports; several servers are written like this: "
    "postgresql://user:password@/name?host=a,b&port=5432,5432&target_session_attrs=primary"
)


def _normalise(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise ConfigInvalid("DAGWAY_DATABASE_URL: not a URL; expected postgresql://… or sqlite:///…") from error
    except ValueError as error:
        raise ConfigInvalid(_SEVERAL_SERVERS) from error
    if parsed.drivername in {"postgres", "postgresql", "postgresql+psycopg2"}:
        # SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3.
        parsed = parsed.set(drivername="postgresql+psycopg2")
        try:
            parsed.get_dialect()().create_connect_args(parsed)
        except (exc.ArgumentError, ValueError) as error:
            raise ConfigInvalid(_SEVERAL_SERVERS) from error
        return parsed
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigInvalid(
                "DAGWAY_DATABASE_URL: names no file; expected, for example, sqlite:////var/lib/dagway/dagway.db"
            )
        return parsed
    raise ConfigInvalid(f"DAGWAY_DATABASE_URL: {parsed.drivername!r} is not supported; use postgresql or sqlite")


_dump_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _open_postgres(
    url: URL, common: dict[str, Any], read_only: bool, application_name: str, limits: TimeLimits
) -> Engine:
    # Imported here, because the embedded mode does not need the driver.
    from shared.store.gevent_wait import connect_in_turn  # noqa: PLC0415
    from shared.store.hang_watch import watched  # noqa: PLC0415

    pooled = _is_pooled(url)
    given = url.query.get("options", "")
    settings = [given if isinstance(given, str) else " ".join(given), "-c timezone=UTC"]
    if not pooled:
        # All queries of a read-only transaction see one snapshot, as on SQLite. Such a transaction never fails to
        # serialize.
        isolation = r"repeatable\ read" if read_only else r"read\ committed"
        settings += [f"-c default_transaction_isolation={isolation}", *limits.options]
        if read_only:
            settings.append("-c default_transaction_read_only=on")
            # Most reads are one statement: BEGIN and COMMIT around it would be two more round trips.
            common |= {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
    arguments: dict[str, Any] = {
        **watched(limits.answer_s),
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "application_name": application_name,
        # Else that of the database, of its user or of PGCLIENTENCODING would hold, which may not have all characters.
        "client_encoding": "utf8",
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        # Detects a peer that vanished in the middle of a statement; keepalives do not. For one that hangs: hang_watch.
        "tcp_user_timeout": LOCK_TIMEOUT_S * 1000,
    }
    wanted = {name: value for name, value in arguments.items() if name not in url.query}
    if read_only and url.query.get("target_session_attrs") == "read-write":
        # libpq takes a session that reads only by default for one of a standby, and would find no server.
        url = url.update_query_dict({"target_session_attrs": "primary"})
    engine = create_engine(
        url.difference_update_query(["options", "pooler"]),
        connect_args=wanted | {"options": " ".join(settings).strip()},
        executemany_mode="values_plus_batch",
        **common,
    )
    if pooled:
        engine.update_execution_options(**{_POOLED: True})
        _set_in_transactions(engine, read_only, limits)
    name_workspaces(engine)
    event.listen(engine, "do_connect", lambda dialect, _, __, given: connect_in_turn(dialect.connect, given))
    if not read_only:
        event.listen(engine, "handle_error", _leave_standby)
    return engine


def _is_pooled(url: URL) -> bool:
    pooler = url.query.get("pooler")
    if pooler not in (None, "transaction"):
        raise ConfigInvalid(
            f"DAGWAY_DATABASE_URL: pooler={pooler} is not supported; expected pooler=transaction, or none"
        )
    return pooler is not None


def _set_in_transactions(engine: Engine, read_only: bool, limits: TimeLimits) -> None:
    """Make every transaction say for itself what other engines say once for their connection.

    A pooler refuses most options of a connection, since the next transaction may have another server's session.
    """

    def on_connect(connection: Any, _record: object) -> None:
        # psycopg2 puts both into its BEGIN, and sends nothing now.
        connection.set_session("REPEATABLE READ" if read_only else "READ COMMITTED", readonly=read_only)

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(limits.of_a_transaction)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


def _leave_standby(context: ExceptionContext) -> None:
    # After a failover the old primary may still answer reads: reconnect to find the new primary.
    if getattr(context.original_exception, "pgcode", None) == _READ_ONLY_TRANSACTION:
        context.is_disconnect = True


def _open_sqlite(url: URL, common: dict[str, Any], read_only: bool, synced: bool) -> Engine:
    arguments: dict[str, Any] = {"check_same_thread": False}
    if "timeout" not in url.query:
        arguments["timeout"] = LOCK_TIMEOUT_S
    engine = create_engine(url, connect_args=arguments, **common)

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver begins its transactions late and commits them before DDL. Updates were lost, and a failed
        # migration left tables behind. So we send BEGIN ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA synchronous={'FULL' if synced else 'OFF'}")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        else:
            use_write_ahead_log(connection)
        cursor.close()

    def on_begin(connection: Connection) -> None:
        execute_on_sqlite(connection, "BEGIN" if read_only else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


@contextmanager
def store_errors() -> Iterator[None]:
    """Translate exceptions of SQLAlchemy and the drivers, raised in the block, into those of ``shared.errors``.

    If the connection breaks during a commit, ``StoreUnavailable`` is raised and the commit may or may not have
    happened.

    Raises:
        RowsLocked: another transaction held a lock for too long: a retry may succeed.
        StoreUnavailable: the database is unavailable, busy or deadlocked, a time limit was reached, or the user lacks a
            right: a retry may succeed.
        AlreadyExists: a row with the same key exists.
        InvariantBroken: a row violates another constraint, for instance NOT NULL or a foreign key.
    """
    try:
        yield
    except exc.IntegrityError as error:
        kind = AlreadyExists if _is_duplicate(error.orig) else InvariantBroken
        raise kind(str(error.orig).strip()) from error
    except exc.TimeoutError as error:
        raise StoreUnavailable(f"no free database connection in this process within {LOCK_TIMEOUT_S} s") from error
    except exc.DBAPIError as error:
        if not _passes(error):
            raise
        if _is_disk_full(error.orig):
            DISK_FULL.inc()
        locked = getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE
        unavailable = RowsLocked if locked else StoreUnavailable
        raise unavailable(str(error.orig).strip() or type(error.orig).__name__) from error


def _is_duplicate(origin: BaseException | None) -> bool:
    if isinstance(origin, sqlite3.Error):
        return getattr(origin, "sqlite_errorcode", None) in _SQLITE_UNIQUE
    return getattr(origin, "pgcode", None) == _UNIQUE_VIOLATION


def _is_disk_full(origin: BaseException | None) -> bool:
    if isinstance(origin, sqlite3.Error):
        return getattr(origin, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(origin, "pgcode", None) == _DISK_FULL


def _passes(error: exc.DBAPIError) -> bool:
    origin = error.orig
    if isinstance(origin, sqlite3.Error):
        code: int = getattr(origin, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return code & 0xFF in _PASSING_SQLITE
    if error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError):
        return True
    return getattr(origin, "pgcode", None) in _PASSING_POSTGRES


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Run the block in one transaction: commit at its end, roll back if it raises.

    Raises:
        StoreUnavailable, AlreadyExists, InvariantBroken: see ``store_errors``.
    """
    with store_errors(), engine.connect() as connection, _autocommit(connection, on=False), connection.begin():
        yield connection


@contextmanager
def one_statement(engine: Engine) -> Iterator[Connection]:
    """Run a block that sends a single statement. On Postgres that is one round trip, unless there is a pooler.

    Raises:
        StoreUnavailable: see ``store_errors``.
    """
    # Behind a pooler only a transaction has isolation and time limits, so there the block stays in one.
    with store_errors(), engine.connect() as connection, _autocommit(connection, on=has_own_session(connection)):
        yield connection


@contextmanager
def _autocommit(connection: Connection, *, on: bool) -> Iterator[None]:
    """Switch psycopg2's autocommit on or off in the block; while it is on, no BEGIN is sent. Costs no round trip."""
    driver: Any = connection.connection.dbapi_connection
    if not is_postgres(connection) or driver.autocommit == on:
        yield
        return
    driver.autocommit = on
    try:
        yield
    finally:
        if not driver.closed:
            driver.autocommit = not on


def without_time_limit(connection: Connection) -> None:
    """Let the statements of the rest of this transaction take as long as they need."""
    if is_postgres(connection):
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        driver: Any = connection.connection.dbapi_connection
        driver.patient = True


def for_update(select: S, *, skip_locked: bool = False, nowait: bool = False) -> S:
    """Return ``select`` so that it locks its rows until the transaction ends.

    With ``skip_locked`` it leaves out rows that another transaction has locked; with ``nowait`` it raises
    ``RowsLocked`` for them at once. SQLite has no row locks and needs none: it has one writer at a time.
    """
    return select.with_for_update(skip_locked=skip_locked, nowait=nowait)


def insert_for(bind: Engine | Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that can say what happens if a row with the same key exists."""
    return postgresql.insert(table) if is_postgres(bind) else sqlite.insert(table)


def insert_ignore(bind: Engine | Connection, table: Table) -> Insert:
    """Return an INSERT that skips rows whose key exists. Add ``returning`` to get the inserted rows."""
    return insert_for(bind, table).on_conflict_do_nothing()
