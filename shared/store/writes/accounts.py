"""What a scheduler's transaction does to users, API keys and webhooks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, func, select, update

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.writes.transaction import Tx

__all__ = ["Accounts"]

Found = dict[str, Any]


class Accounts:
    """Users, keys and webhooks within one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def users(self) -> int:
        """Return how many users there are."""
        return int(self._tx.connection.execute(select(func.count()).select_from(t.users)).scalar_one())

    def lock(self, table: Table, **where: str) -> Found | None:
        """Return and lock the one row whose columns are these, if there is one."""
        query = select(table).where(*[table.c[name] == value for name, value in where.items()])
        row = self._tx.connection.execute(for_update(query)).mappings().one_or_none()
        return None if row is None else dict(row)

    def add(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert a row. Raises ``AlreadyExists`` where a key is taken."""
        self._tx.insert(table, [row])

    def change(self, table: Table, row_id: str, values: Mapping[str, Any]) -> None:
        """Set columns of the row with this id."""
        self._tx.connection.execute(update(table).where(table.c.id == row_id).values(dict(values)))

    def touch(self, table: Table, row_id: str, at: datetime) -> None:
        """Note that a credential was used; a later note stays."""
        newer = (table.c.last_used_at.is_(None)) | (table.c.last_used_at < at)
        self._tx.connection.execute(update(table).where(table.c.id == row_id, newer).values(last_used_at=at))

    def remove(self, table: Table, row_id: str) -> None:
        """Delete the row with this id."""
        self._tx.connection.execute(delete(table).where(table.c.id == row_id))

    def version(self, file_name: str, version: int) -> str | None:
        """Return the spec hash of one version of a dag."""
        c = t.dag_versions.c
        query = select(c.spec_hash).where(c.file_name == file_name, c.version == version)
        found: str | None = self._tx.connection.execute(query).scalar()
        return found
