"""Reads of stored secrets. Their values are sealed; the API never returns them."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select

from shared.store import tables as t
from shared.store.functions import bytewise
from shared.store.reads.base import Reader, columns_of

__all__ = ["SecretReads", "SecretRow"]


@dataclass(frozen=True, slots=True)
class SecretRow:
    """A stored secret. ``dags``: patterns of DAG files that may use it, separated by spaces; empty: all."""

    name: str
    version: int
    sealed: str = field(repr=False)
    dags: str
    created_at: datetime
    updated_at: datetime
    by: str


class SecretReads(Reader):
    """Reads of stored secrets."""

    def secrets(self) -> tuple[SecretRow, ...]:
        """Return all stored secrets, by name."""
        name = t.secrets.c.name
        query = select(*columns_of(t.secrets, SecretRow)).where(self._ours(name)).order_by(bytewise(name))
        with self._statement() as connection:
            return tuple(SecretRow(*row) for row in connection.execute(query))
