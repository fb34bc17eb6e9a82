"""Reads and writes of users, API keys and webhooks in a transaction."""

from datetime import datetime

from sqlalchemy import Table, delete, func, select, update

from shared.store import tables as t
from shared.store.engine import for_update, insert_ignore
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["AccountWrites"]


class AccountWrites(Writer):
    """Reads and writes of users, logins that have ended, API keys and webhooks."""

    __slots__ = ()

    def users(self) -> int:
        """Return the number of users."""
        return int(self._connection.execute(select(func.count()).select_from(t.users)).scalar_one())

    def lock(self, table: Table, **where: str) -> FoundRow | None:
        """Return and lock the one row with these column values, if it exists."""
        query = select(table).where(*[table.c[name] == value for name, value in where.items()])
        return self._first(for_update(query))

    def add(self, table: Table, row: NewRow) -> None:
        """Insert a row. Raises ``AlreadyExists`` if a row with the same key exists."""
        self._insert(table, [row])

    def change(self, table: Table, row_id: str, values: NewRow) -> None:
        """Set columns of the row with this id."""
        self._connection.execute(update(table).where(table.c.id == row_id).values(dict(values)))

    def touch(self, table: Table, row_id: str, at: datetime) -> None:
        """Record that a credential was used at ``at``, unless a later use is already recorded."""
        newer = (table.c.last_used_at.is_(None)) | (table.c.last_used_at < at)
        self._connection.execute(update(table).where(table.c.id == row_id, newer).values(last_used_at=at))

    def end_login(self, token_id: str, expires_at: datetime) -> None:
        """Record that a login token has ended, if that is not recorded yet."""
        row = {"token_id": token_id, "expires_at": expires_at}
        self._connection.execute(insert_ignore(self._connection, t.ended_logins), [row])

    def forget_logins(self, before: datetime) -> None:
        """Delete the records of login tokens that have expired before this time."""
        self._connection.execute(delete(t.ended_logins).where(t.ended_logins.c.expires_at < before))

    def remove(self, table: Table, row_id: str) -> None:
        """Delete the row with this id."""
        self._connection.execute(delete(table).where(table.c.id == row_id))
