"""Bulk writes: changes of several tables in one statement text, which is one round trip to Postgres.

SQLAlchemy would send one statement per table and use four times the CPU for rows this wide. Names and types still come
from SQLAlchemy: each value is bound with its column's type. SQLite has no round trips, so each table gets its own
statement, which it executes for each row.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Connection, Dialect, String, Table

from shared.store.engine import is_postgres
from shared.store.sqlite_driver import execute_on_sqlite

__all__ = ["Alike", "Changes", "Locks", "Part", "Removed", "Rows", "write"]

Row = Mapping[str, Any]

_FACTORED_FROM = 8
"""From how many rows on Postgres gets the columns once in which all rows to insert are equal."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to insert; all have the same columns as the first row.

    ``taken`` says what happens if a row with the same key exists: ``refuse`` fails, ``leave`` skips the new row, and
    a tuple of column names sets these columns of the existing row. ``computed``: columns whose value the database
    computes; pass the same expression objects each time, because they are a cache key. ``newest_by``: an existing row
    whose value in this column is higher stays as it is.
    """

    table: Table
    rows: Sequence[Row]
    taken: Literal["refuse", "leave"] | tuple[str, ...] = "refuse"
    computed: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    newest_by: str = ""


@dataclass(frozen=True, slots=True)
class Alike:
    """Rows to insert that differ in three columns only: a text, a place, and another text.

    ``columns``: their names. ``rows``: by the first text, the other texts in the order of their places, which count
    from 0; ``None`` leaves a place out. ``same``: the values of the other columns. All rows travel as one JSON text,
    and the database makes the rows of it: for wide rows this costs a tenth of ``Rows``.
    """

    table: Table
    columns: tuple[str, str, str]
    rows: Mapping[str, Sequence[str | None]]
    same: Row


@dataclass(frozen=True, slots=True)
class Changes:
    """Columns to set in existing rows; all ``rows`` have the same columns as the first.

    ``where`` says how to find each row: ``{name in rows: column of the table}``. These columns are not set.
    """

    table: Table
    rows: Sequence[Row]
    where: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Removed:
    """Rows to delete: all whose ``column`` has one of these values."""

    column: Column[Any]
    rows: Sequence[str]


Part = Rows | Alike | Changes | Removed


@dataclass(frozen=True, slots=True)
class _Factored:
    """Rows to insert of which only the columns ``names`` differ; ``same`` has the values of the others."""

    of: Rows
    names: tuple[str, ...]
    same: Row


@dataclass(frozen=True, slots=True)
class Locks:
    """Rows to lock until the transaction ends, in the order of ``keys``. SQLite has one writer and needs no locks."""

    column: Column[Any]
    keys: Sequence[str]


def write(connection: Connection, *parts: Part, locks: Locks | None = None) -> int:
    """Write the parts in order; return the number of rows that the last part changed.

    ``locks`` are taken before, in the same round trip.
    """
    filled = [part for part in parts if part.rows]
    if not filled:
        return 0
    if is_postgres(connection):
        factored = [_factored(part) for part in filled]
        texts = [_text(connection.dialect, part) for part in factored]
        values = [value for part in factored for row in _bound(connection.dialect, part) for value in row]
        if locks is not None and locks.keys:
            texts.insert(0, _lock_text(connection.dialect, locks))
            values[:0] = locks.keys
        count = connection.exec_driver_sql("; ".join(texts), tuple(values)).rowcount
    else:
        count = [_execute(connection, part) for part in filled][-1]
    return count if parts[-1].rows else 0


def _execute(connection: Connection, part: Part) -> int:
    """Write one part to SQLite, and return the number of rows that it changed."""
    text = _text_of_one(connection.dialect, part)
    return execute_on_sqlite(connection, text, _bound(connection.dialect, part))


def _factored(part: Part) -> Part | _Factored:
    """Take out the columns in which all of many rows are equal: Postgres then parses their values once."""
    if not isinstance(part, Rows) or len(part.rows) < _FACTORED_FROM:
        return part
    first, others = part.rows[0], part.rows[1:]
    same = {name: value for name, value in first.items() if all(_equal(value, other[name]) for other in others)}
    names = tuple(name for name in first if name not in same)
    return _Factored(part, names, same) if same and names else part


def _equal(one: object, other: object) -> bool:
    """Whether two values of a column are certainly stored alike. Python's equality is wider: ``1 == True``."""
    if one is other:
        return True
    return type(one) is type(other) and one == other and not (one and isinstance(one, dict | list | tuple))


def _text(dialect: Dialect, part: Part | _Factored) -> str:
    if isinstance(part, Alike):
        return _alike_text(dialect, part.table, part.columns, tuple(part.same))
    if isinstance(part, Removed):
        return f"DELETE {_found_by(dialect, part.column, len(part.rows))}"
    if isinstance(part, Changes):
        head, first, one, tail = _update_text(dialect, part.table, _names(part), tuple(part.where.items()))
        return f"{head}{', '.join([first, *[one] * (len(part.rows) - 1)])}{tail}"
    rows = part.of if isinstance(part, _Factored) else part
    head, first, one, tail = _pieces(dialect, rows, part if isinstance(part, _Factored) else None)
    return f"{head}{', '.join([first, *[one] * (len(rows.rows) - 1)])}{tail}"


def _pieces(dialect: Dialect, rows: Rows, factored: _Factored | None = None) -> tuple[str, str, str, str]:
    names, same = (_names(rows), ()) if factored is None else (factored.names, tuple(factored.same))
    computed = tuple(rows.computed.items())
    return _insert_text(dialect, rows.table, names, same, taken=rows.taken, computed=computed, newest_by=rows.newest_by)


def _text_of_one(dialect: Dialect, part: Part) -> str:
    """Return the text that SQLite executes once for each row of ``_bound``."""
    if isinstance(part, Changes):
        return _update_one_text(dialect, part.table, _names(part), tuple(part.where.items()))
    if isinstance(part, Rows):
        head, first, _, tail = _pieces(dialect, part)
        return f"{head}{first}{tail}"
    return _text(dialect, part)


def _names(part: Rows | Changes) -> tuple[str, ...]:
    """Return the names of the values of a row in the order of the text; those that find the row come last."""
    names = tuple(part.rows[0])
    if isinstance(part, Rows):
        return names
    return (*(name for name in names if name not in part.where), *part.where)


def _lock_text(dialect: Dialect, locks: Locks) -> str:
    column = dialect.identifier_preparer.quote(locks.column.name)
    return f"SELECT 1 {_found_by(dialect, locks.column, len(locks.keys))} ORDER BY {column} FOR UPDATE"


def _found_by(dialect: Dialect, column: Column[Any], count: int) -> str:
    quote = dialect.identifier_preparer.quote
    places = ", ".join([_mark(dialect)] * count)
    return f"FROM {quote(column.table.name)} WHERE {quote(column.name)} IN ({places})"


def _mark(dialect: Dialect) -> str:
    """Return the place of a value in a text for the database's driver."""
    return "?" if dialect.paramstyle == "qmark" else "%s"


@lru_cache(maxsize=1024)
def _insert_text(
    dialect: Dialect,
    table: Table,
    names: tuple[str, ...],
    same: tuple[str, ...],
    *,
    taken: Literal["refuse", "leave"] | tuple[str, ...],
    computed: tuple[tuple[str, ColumnElement[Any]], ...],
    newest_by: str,
) -> tuple[str, str, str, str]:
    """Return four pieces of SQL: before the rows, the first row (with types, if any are ``same``), each other, after.

    The values of the columns ``same`` come before those of the rows.
    """
    quote, mark = dialect.identifier_preparer.quote, _mark(dialect)
    columns = ", ".join(quote(name) for name in (*names, *same, *dict(computed)))
    head = f"INSERT INTO {quote(table.name)} ({columns})"
    tail = ""
    if taken == "leave":
        tail = " ON CONFLICT DO NOTHING"
    elif taken != "refuse":
        key = ", ".join(quote(column.name) for column in table.primary_key)
        tail = f" ON CONFLICT ({key}) DO UPDATE SET " + ", ".join(f"{quote(c)} = excluded.{quote(c)}" for c in taken)
        if newest_by:
            tail += f" WHERE {quote(table.name)}.{quote(newest_by)} <= excluded.{quote(newest_by)}"
    found = [str(value.compile(dialect=dialect)) for _, value in computed]
    if not same:
        one = f"({', '.join([*[mark] * len(names), *found])})"
        return f"{head} VALUES ", one, one, tail
    values = ", ".join([*(f"new.{quote(name)}" for name in names), *[mark] * len(same), *found])
    typed = ", ".join(f"{mark}::{_type(dialect, table.c[name].type)}" for name in names)
    named = ", ".join(quote(name) for name in names)
    head = f"{head} SELECT {values} FROM (VALUES "  # noqa: S608 - names from the schema
    return head, f"({typed})", f"({', '.join([mark] * len(names))})", f") AS new ({named}){tail}"


@lru_cache(maxsize=64)
def _alike_text(dialect: Dialect, table: Table, names: tuple[str, str, str], same: tuple[str, ...]) -> str:
    quote = dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in (*names, *same))
    if dialect.name == "postgresql":
        place = "listed.place - 1"
        source = (
            "json_each(%s::json) AS found, "
            "json_array_elements_text(found.value) WITH ORDINALITY AS listed (value, place)"
        )
    else:
        place = "listed.key"
        source = "json_each(?) AS found, json_each(found.value) AS listed"
    values = ", ".join(["found.key", place, "listed.value", *[_mark(dialect)] * len(same)])
    head = f"INSERT INTO {quote(table.name)} ({columns})"
    return f"{head} SELECT {values} FROM {source} WHERE listed.value IS NOT NULL"  # noqa: S608 - names from the schema


@lru_cache(maxsize=256)
def _update_text(
    dialect: Dialect, table: Table, names: tuple[str, ...], where: tuple[tuple[str, str], ...]
) -> tuple[str, str, str, str]:
    """Return four pieces of SQL: before the rows, the first row (with types), each other row, after the rows."""
    quote = dialect.identifier_preparer.quote
    columns = dict(where)
    sets = ", ".join(f"{quote(name)} = new.{quote(name)}" for name in names if name not in columns)
    head = f"UPDATE {quote(table.name)} AS old SET {sets} FROM (VALUES "  # noqa: S608 - names from the schema
    types = [_type(dialect, table.c[columns.get(name, name)].type) for name in names]
    found = " AND ".join(f"old.{quote(column)} = new.{quote(name)}" for name, column in where)
    tail = f") AS new ({', '.join(quote(name) for name in names)}) WHERE {found}"
    return head, f"({', '.join(f'%s::{type_}' for type_ in types)})", f"({', '.join(['%s'] * len(names))})", tail


@lru_cache(maxsize=256)
def _update_one_text(dialect: Dialect, table: Table, names: tuple[str, ...], where: tuple[tuple[str, str], ...]) -> str:
    """Return an UPDATE of one row."""
    quote, columns = dialect.identifier_preparer.quote, dict(where)
    sets = ", ".join(f"{quote(name)} = ?" for name in names if name not in columns)
    found = " AND ".join(f"{quote(column)} = ?" for column in columns.values())
    return f"UPDATE {quote(table.name)} SET {sets} WHERE {found}"  # noqa: S608 - names from the schema


def _type(dialect: Dialect, type_: Any) -> str:
    # A cast to VARCHAR(n) would silently truncate a text that is too long; without the cast, the column refuses it.
    return "TEXT" if isinstance(type_, String) else str(type_.compile(dialect=dialect))


def _bound(dialect: Dialect, part: Part | _Factored) -> list[tuple[Any, ...]]:
    """Return the values of each row in order, each converted by the bind processor of its column's type.

    ``Alike`` and ``Removed`` count as one row; the first row of ``_Factored`` has the values that all have in common.
    """
    if isinstance(part, Alike):
        (same,) = _bound_rows(dialect, part.table, tuple(part.same), [part.same])
        return [(*same, json.dumps(part.rows, separators=(",", ":")))]
    if isinstance(part, Removed):
        return [tuple(part.rows)]
    if isinstance(part, _Factored):
        table = part.of.table
        common = _bound_rows(dialect, table, tuple(part.same), [part.same])
        return common + _bound_rows(dialect, table, part.names, part.of.rows)
    where = tuple(part.where.items()) if isinstance(part, Changes) else ()
    return _bound_rows(dialect, part.table, _names(part), part.rows, where)


def _bound_rows(
    dialect: Dialect, table: Table, names: tuple[str, ...], rows: Sequence[Row], where: tuple[tuple[str, str], ...] = ()
) -> list[tuple[Any, ...]]:
    values_of, bound = _binders(dialect, table, names, where)
    found = []
    for row in rows:
        values = list(values_of(row))
        for place, bind in bound:
            values[place] = bind(values[place])
        found.append(tuple(values))
    return found


@lru_cache(maxsize=1024)
def _binders(
    dialect: Dialect, table: Table, names: tuple[str, ...], where: tuple[tuple[str, str], ...]
) -> tuple[Callable[[Row], Iterable[Any]], Sequence[tuple[int, Callable[[Any], Any]]]]:
    """Return a function that takes the values from a row, and the places of those to convert, each with how."""
    columns = dict(where)
    types = [table.c[columns.get(name, name)].type for name in names]
    found = [(place, type_.dialect_impl(dialect).bind_processor(dialect)) for place, type_ in enumerate(types)]
    # With a single name, ``itemgetter`` would return the value itself.
    values_of = itemgetter(*names) if len(names) > 1 else lambda row: [row[name] for name in names]
    return values_of, [(place, bind) for place, bind in found if bind is not None]
