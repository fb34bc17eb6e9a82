"""The base class of the parts of a transaction."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table

from shared.store.writes.bulk import Rows, write

__all__ = ["FoundRow", "NewRow", "Writer"]

FoundRow: TypeAlias = dict[str, Any]
"""A row that was read, by column name."""
NewRow: TypeAlias = Mapping[str, Any]
"""A row to write, by column name."""


class Writer:
    """Reads and writes some tables over the connection of one transaction. Contains no rules of runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _rows(self, query: Any, **values: Any) -> list[FoundRow]:
        found = self._connection.execute(query, values)
        names = tuple(found.keys())
        return [dict(zip(names, row, strict=True)) for row in found]

    def _first(self, query: Any, **values: Any) -> FoundRow | None:
        row = self._connection.execute(query, values).mappings().first()
        return None if row is None else dict(row)

    def _insert(self, table: Table, rows: Sequence[NewRow]) -> None:
        """Insert rows. Raises ``AlreadyExists`` if a row with the same key exists."""
        write(self._connection, Rows(table, rows))

    def _insert_new(self, table: Table, rows: Sequence[NewRow]) -> None:
        """Insert rows, except rows whose key exists."""
        write(self._connection, Rows(table, rows, "leave"))

    def _put(self, table: Table, rows: Sequence[NewRow], changed: Sequence[str]) -> None:
        """Insert rows; if a row with the same key exists, set its ``changed`` columns instead."""
        write(self._connection, Rows(table, rows, tuple(changed)))
