"""Rows of several tables written at once: on Postgres in one statement text, and so in one round trip.

SQLAlchemy would send a statement for each table and take four times the processor for rows this wide. Types and
identifiers are still its: a row is bound as its table says. SQLite has no round trips to save: there each
table is an ``executemany``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Connection, Dialect, String, Table, and_, bindparam, insert, update

from shared.store.engine import insert_ignore, is_postgres, upsert

__all__ = ["Rows", "insert_rows", "update_rows"]

Row = Mapping[str, Any]
Taken = Literal["refuse", "leave"] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to insert; all of them have the columns of the first.

    ``taken``: where a row's key is there already, ``refuse`` all, ``leave`` that row out, or set the columns named.
    ``computed``: columns whose value the database works out.
    """

    table: Table
    rows: Sequence[Row]
    taken: Taken = "refuse"
    computed: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)


def insert_rows(connection: Connection, groups: Sequence[Rows]) -> None:
    """Insert rows of several tables, in the order given."""
    filled = [group for group in groups if group.rows]
    if not filled:
        return
    if not is_postgres(connection):
        for group in filled:
            connection.execute(_statement(connection, group), list(group.rows))
        return
    texts, values = [], []
    for group in filled:
        form = _insert_form(connection.dialect, group.table, tuple(group.rows[0]), group.taken, tuple(group.computed))
        computed = [str(value.compile(dialect=connection.dialect)) for value in group.computed.values()]
        row = f"({', '.join([*form.places, *computed])})"
        texts.append(f"{form.head} VALUES {', '.join([row] * len(group.rows))}{form.tail}")
        values.append(form.bound(group.rows))
    connection.exec_driver_sql("; ".join(texts), tuple(chain.from_iterable(values)))


def update_rows(connection: Connection, table: Table, rows: Sequence[Row], where: Mapping[str, str]) -> int:
    """Set the columns of rows found by ``{column: the name of its value in a row}``; return how many were found.

    All rows have the columns of the first; those in ``where`` under other names are for finding only.
    """
    if not rows:
        return 0
    form = _update_form(connection.dialect, table, tuple(rows[0]), tuple(where.items()))
    if not is_postgres(connection):
        return sum(connection.execute(form.statement, form.named(row)).rowcount for row in rows)
    typed, plain = f"({', '.join(form.typed)})", f"({', '.join(form.places)})"
    text = f"{form.head} (VALUES {', '.join([typed, *[plain] * (len(rows) - 1)])}){form.tail}"
    return connection.exec_driver_sql(text, tuple(form.bound(rows))).rowcount


def _statement(connection: Connection, group: Rows) -> Any:
    match group.taken:
        case "refuse":
            statement = insert(group.table)
        case "leave":
            statement = insert_ignore(connection, group.table)
        case columns:
            statement = upsert(connection, group.table, columns)
    return statement.values(**group.computed) if group.computed else statement
