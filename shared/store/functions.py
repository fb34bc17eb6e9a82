"""SQL functions that the two databases spell differently."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from shared.workspaces import MARK

__all__ = ["bytewise", "database_time", "open_transactions_from", "transaction_number", "workspace_prefix"]


class bytewise(FunctionElement[str]):  # noqa: N801 - used as an SQL function
    """``bytewise(column)``: sorts the column by code point instead of by the database's collation."""

    type = String()
    name = "bytewise"
    inherit_cache = True


@compiles(bytewise, "postgresql")
def _bytewise_postgres(element: bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return f'({compiler.process(element.clauses, **kw)} COLLATE "C")'


@compiles(bytewise, "sqlite")
def _bytewise_sqlite(element: bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({compiler.process(element.clauses, **kw)})"


class database_time(FunctionElement[datetime]):  # noqa: N801 - used as an SQL function
    """When the current transaction began, by the database's clock. SQLite: the statement's time, to a millisecond."""

    type = DateTime(timezone=True)
    name = "database_time"
    inherit_cache = True


@compiles(database_time, "postgresql")
def _database_time_postgres(element: database_time, compiler: SQLCompiler, **kw: Any) -> str:
    return "now()"


@compiles(database_time, "sqlite")
def _database_time_sqlite(element: database_time, compiler: SQLCompiler, **kw: Any) -> str:
    # SQLAlchemy stores microseconds, SQLite knows milliseconds.
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


class transaction_number(FunctionElement[int]):  # noqa: N801 - used as an SQL function
    """The number of the current write transaction. A transaction that begins to write later has a higher number."""

    type = BigInteger()
    name = "transaction_number"
    inherit_cache = True


@compiles(transaction_number, "postgresql")
def _transaction_number_postgres(element: transaction_number, compiler: SQLCompiler, **kw: Any) -> str:
    return "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"


@compiles(transaction_number, "sqlite")
def _transaction_number_sqlite(element: transaction_number, compiler: SQLCompiler, **kw: Any) -> str:
    return "(SELECT value FROM counters WHERE name = 'transaction')"


class open_transactions_from(FunctionElement[int]):  # noqa: N801 - used as an SQL function
    """The lowest ``transaction_number`` that may still be open: all transactions with lower numbers have ended."""

    type = BigInteger()
    name = "open_transactions_from"
    inherit_cache = True


@compiles(open_transactions_from, "postgresql")
def _open_transactions_from_postgres(element: open_transactions_from, compiler: SQLCompiler, **kw: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"


@compiles(open_transactions_from, "sqlite")
def _open_transactions_from_sqlite(element: open_transactions_from, compiler: SQLCompiler, **kw: Any) -> str:
    return "9223372036854775807"


class workspace_prefix(FunctionElement[str]):  # noqa: N801 - used as an SQL function
    """``workspace_prefix(column)``: the workspace in a stored name with the mark; empty for the default workspace."""

    type = String()
    name = "workspace_prefix"
    inherit_cache = True


@compiles(workspace_prefix, "postgresql")
def _workspace_prefix_postgres(element: workspace_prefix, compiler: SQLCompiler, **kw: Any) -> str:
    name = compiler.process(element.clauses, **kw)
    return f"left({name}, strpos({name}, '{MARK}'))"


@compiles(workspace_prefix, "sqlite")
def _workspace_prefix_sqlite(element: workspace_prefix, compiler: SQLCompiler, **kw: Any) -> str:
    name = compiler.process(element.clauses, **kw)
    return f"substr({name}, 1, instr({name}, '{MARK}'))"
