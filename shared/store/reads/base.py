"""The base class of all readers."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, Engine, Row, Select

from shared.store.engine import one_statement, transaction
from shared.store.migrate import HEAD, revision

__all__ = ["AnyRow", "AnySelect", "Reader", "SchemaRevision"]

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
AnySelect: TypeAlias = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class SchemaRevision:
    """The schema revision that this program needs, and the revision of the database (``None``: it is empty)."""

    expected: str
    found: str | None

    @property
    def serves(self) -> bool:
        """Whether the database has the expected revision or a later one."""
        return self.found is not None and self.found >= self.expected


class Reader:
    """Reads through one engine, which needs only the SELECT privilege.

    Each method is one statement or one transaction, so on a read-only engine its queries see one snapshot. Every
    method raises ``StoreUnavailable`` while the database is unavailable.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _statement(self) -> AbstractContextManager[Connection]:
        """Return a context manager for a single statement."""
        return one_statement(self._engine)

    def _snapshot(self) -> AbstractContextManager[Connection]:
        """Return a context manager for several statements, which see one snapshot."""
        return transaction(self._engine)

    def schema(self) -> SchemaRevision:
        """Return the expected and the found schema revision."""
        with self._snapshot() as connection:
            return SchemaRevision(HEAD, revision(connection))
