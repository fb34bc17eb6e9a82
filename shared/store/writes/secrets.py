"""Reads and writes of stored secrets in a transaction. Their values are sealed."""

from collections.abc import Collection

from sqlalchemy import delete, select

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["SecretWrites"]


class SecretWrites(Writer):
    """Reads and writes of stored secrets."""

    def lock(self, name: str) -> FoundRow | None:
        """Return and lock one secret, or return ``None`` if it does not exist."""
        return self._first(for_update(select(t.secrets).where(t.secrets.c.name == name)))

    def named(self, names: Collection[str]) -> list[FoundRow]:
        """Return the secrets with these names, as far as they exist, in the order of their names."""
        query = select(t.secrets).where(t.secrets.c.name.in_(sorted(names)))
        return sorted(self._rows(query), key=lambda row: str(row["name"]))

    def put(self, row: NewRow) -> None:
        """Insert a secret, or replace all columns of an existing one."""
        self._put(t.secrets, [row], ["version", "sealed", "dags", "updated_at", "by"])

    def remove(self, name: str) -> bool:
        """Delete a secret; return whether it existed."""
        return self._connection.execute(delete(t.secrets).where(t.secrets.c.name == name)).rowcount > 0
