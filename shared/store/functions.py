"""SQL functions that the two databases spell differently."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import BigInteger, DateTime, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from shared.workspaces import MARK

__all__ = ["bytewise", "database_time", "open_transactions_from", "spelled", "transaction_number", "workspace_prefix"]

F = TypeVar("F", bound=type[FunctionElement[Any]])


def spelled(*, postgres: str, sqlite: str) -> Callable[[F], F]:
    """Return a decorator that says how each database writes an SQL function. ``{0}`` is its first argument."""

    def decorate(function: F) -> F:
        setattr(function, "name", function.__name__.removeprefix("_"))  # noqa: B010 - SQLAlchemy declares no such attribute
        function.inherit_cache = True
        compiles(function, "postgresql")(_writer(postgres))
        compiles(function, "sqlite")(_writer(sqlite))
        return function

    return decorate


def _writer(pattern: str) -> Callable[..., str]:
    def write(element: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> str:
        return pattern.format(*(compiler.process(argument, **kw) for argument in element.clauses))

    return write


@spelled(postgres='({0} COLLATE "C")', sqlite="({0})")
class bytewise(FunctionElement[str]):  # noqa: N801 - used as an SQL function
    """``bytewise(column)``: sorts the column by code point instead of by the database's collation."""

    type = String()


@spelled(
    postgres="now()",
    # SQLAlchemy stores microseconds, SQLite knows milliseconds.
    sqlite="(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')",
)
class database_time(FunctionElement[datetime]):  # noqa: N801 - used as an SQL function
    """When the current transaction began, by the database's clock. SQLite: the statement's time, to a millisecond."""

    type = DateTime(timezone=True)


@spelled(
    postgres="CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)",
    sqlite="(SELECT value FROM counters WHERE name = 'transaction')",
)
class transaction_number(FunctionElement[int]):  # noqa: N801 - used as an SQL function
    """The number of the current write transaction. A transaction that begins to write later has a higher number."""

    type = BigInteger()


@spelled(
    postgres="CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)",
    sqlite="9223372036854775807",
)
class open_transactions_from(FunctionElement[int]):  # noqa: N801 - used as an SQL function
    """The lowest ``transaction_number`` that may still be open: all transactions with lower numbers have ended."""

    type = BigInteger()


@spelled(postgres=f"left({{0}}, strpos({{0}}, '{MARK}'))", sqlite=f"substr({{0}}, 1, instr({{0}}, '{MARK}'))")
class workspace_prefix(FunctionElement[str]):  # noqa: N801 - used as an SQL function
    """``workspace_prefix(column)``: the workspace in a stored name with the mark; empty for the default workspace."""

    type = String()
