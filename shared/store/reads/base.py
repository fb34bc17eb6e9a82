"""What every reader is made of."""

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
    """Which revision of the schema this program was written for, and which one the database has, if any."""

    expected: str
    found: str | None

    @property
    def serves(self) -> bool:
        """Whether the program can work on it: it has all that is expected, perhaps more."""
        return self.found is not None and self.found >= self.expected


class Reader:
    """Asks one engine; SELECT is all it needs to be allowed to do.

    Each method is one statement or one transaction, so that on a read-only engine its queries all see
    one moment. All of them raise ``StoreUnavailable`` while the database is away.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _statement(self) -> AbstractContextManager[Connection]:
        """Return the block for a single statement."""
        return one_statement(self._engine)

    def _snapshot(self) -> AbstractContextManager[Connection]:
        """Return the block for several statements, which all see one moment."""
        return transaction(self._engine)

    def schema(self) -> SchemaRevision:
        """Return the schema's revisions; raises ``StoreUnavailable``."""
        with self._snapshot() as connection:
            return SchemaRevision(HEAD, revision(connection))
