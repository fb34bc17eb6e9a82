"""Rows written many at once: on Postgres those of several tables in one statement text, and so in one round trip.

SQLAlchemy would send a statement for each table, and take four times the processor for rows this wide. Names and types
are its own still: a value is bound as its column says. SQLite has no round trips to save: there a table
is one ``executemany``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Dialect, String, Table, and_, bindparam, insert, update

from shared.store.engine import insert_ignore, is_postgres, upsert

__all__ = ["Rows", "insert_rows", "update_rows"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to insert; all of them have the columns of the first.

    ``taken``: where a row's key is there already, ``refuse`` them all, ``leave`` that row out, or set those columns
    of what is there. ``computed``: columns whose value the database finds.
    """

    table: Table
    rows: Sequence[Row]
    taken: Literal["refuse", "leave"] | tuple[str, ...] = "refuse"
    computed: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)


def insert_rows(connection: Connection, groups: Iterable[Rows]) -> None:
    """Insert rows of several tables, in this order."""
    filled = [group for group in groups if group.rows]
    if not is_postgres(connection):
        for group in filled:
            connection.execute(_insert_statement(connection, group), list(group.rows))
        return
    dialect = connection.dialect
    texts: list[str] = []
    values: list[Any] = []
    for group in filled:
        names = tuple(group.rows[0])
        found = tuple((name, str(value.compile(dialect=dialect))) for name, value in group.computed.items())
        head, one, tail = _insert_text(dialect, group.table, names, group.taken, found)
        texts.append(f"{head}{', '.join([one] * len(group.rows))}{tail}")
        values += _bound(dialect, group.table, {name: name for name in names}, group.rows)
    if texts:
        connection.exec_driver_sql("; ".join(texts), tuple(values))


def update_rows(connection: Connection, table: Table, rows: Sequence[Row], where: Mapping[str, str]) -> int:
    """Set columns of rows; return how many were found.

    ``where``: what finds them, as ``{what it is called in a row: the column it must be in}``; it is not set. All
    rows have the columns of the first.
    """
    if not rows:
        return 0
    names = tuple(rows[0])
    columns = {name: where.get(name, name) for name in names}
    if not is_postgres(connection):
        statement = _update_statement(table, names, tuple(where.items()))
        return sum(connection.execute(statement, {f"_{name}": row[name] for name in names}).rowcount for row in rows)
    dialect = connection.dialect
    head, first, one, tail = _update_text(dialect, table, names, tuple(where.items()))
    text = f"{head}{', '.join([first, *[one] * (len(rows) - 1)])}{tail}"
    return connection.exec_driver_sql(text, tuple(_bound(dialect, table, columns, rows))).rowcount


def _insert_statement(connection: Connection, group: Rows) -> Any:
    match group.taken:
        case "refuse":
            statement = insert(group.table)
        case "leave":
            statement = insert_ignore(connection, group.table)
        case columns:
            statement = upsert(connection, group.table, columns)
    return statement.values(**group.computed) if group.computed else statement


@lru_cache(maxsize=256)
def _insert_text(
    dialect: Dialect,
    table: Table,
    names: tuple[str, ...],
    taken: Literal["refuse", "leave"] | tuple[str, ...],
    computed: tuple[tuple[str, str], ...],
) -> tuple[str, str, str]:
    """Return what comes before the rows, each row, and what comes behind them."""
    quote = dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in (*names, *dict(computed)))
    head = f"INSERT INTO {quote(table.name)} ({columns}) VALUES "  # noqa: S608 - names of the schema's own
    tail = ""
    if taken == "leave":
        tail = " ON CONFLICT DO NOTHING"
    elif taken != "refuse":
        key = ", ".join(quote(column.name) for column in table.primary_key)
        tail = f" ON CONFLICT ({key}) DO UPDATE SET " + ", ".join(f"{quote(c)} = excluded.{quote(c)}" for c in taken)
    return head, f"({', '.join([*['%s'] * len(names), *dict(computed).values()])})", tail


@lru_cache(maxsize=64)
def _update_text(
    dialect: Dialect, table: Table, names: tuple[str, ...], where: tuple[tuple[str, str], ...]
) -> tuple[str, str, str, str]:
    """Return what comes before the rows, the first row with its types, each other row, and what comes behind."""
    quote = dialect.identifier_preparer.quote
    columns = dict(where)
    sets = ", ".join(f"{quote(name)} = new.{quote(name)}" for name in names if name not in columns)
    head = f"UPDATE {quote(table.name)} AS old SET {sets} FROM (VALUES "  # noqa: S608 - names of the schema's own
    types = [_type(dialect, table.c[columns.get(name, name)].type) for name in names]
    found = " AND ".join(f"old.{quote(column)} = new.{quote(name)}" for name, column in where)
    tail = f") AS new ({', '.join(quote(name) for name in names)}) WHERE {found}"
    return head, f"({', '.join(f'%s::{type_}' for type_ in types)})", f"({', '.join(['%s'] * len(names))})", tail


def _type(dialect: Dialect, type_: Any) -> str:
    # A cast to a length would cut what is too long, where a column refuses it.
    return "TEXT" if isinstance(type_, String) else str(type_.compile(dialect=dialect))


@lru_cache(maxsize=64)
def _update_statement(table: Table, names: tuple[str, ...], where: tuple[tuple[str, str], ...]) -> Any:
    columns = dict(where)
    found = and_(*(table.c[column] == bindparam(f"_{name}") for name, column in where))
    return update(table).where(found).values({name: bindparam(f"_{name}") for name in names if name not in columns})


def _bound(dialect: Dialect, table: Table, columns: Mapping[str, str], rows: Iterable[Row]) -> list[Any]:
    """Return all values in order, each as its column wants it; ``columns``: the column of each name in a row."""
    binders = [(name, _binder(dialect, table, column)) for name, column in columns.items()]
    return [row[name] if bind is None else bind(row[name]) for row in rows for name, bind in binders]


@lru_cache(maxsize=1024)
def _binder(dialect: Dialect, table: Table, column: str) -> Callable[[Any], Any] | None:
    return table.c[column].type.dialect_impl(dialect).bind_processor(dialect)
