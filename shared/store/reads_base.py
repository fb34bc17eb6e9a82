"""What every reader is made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from sqlalchemy import Connection, Engine, Row, Select, text

from shared.store.engine import transaction

__all__ = ["AnyRow", "AnySelect", "Reader"]

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
AnySelect: TypeAlias = Select[*tuple[Any, ...]]


class Reader:
    """Asks one engine; SELECT is all it needs to be allowed to do.

    Each method is one transaction, so that on a read-only engine its queries all see one moment.
    All of them raise ``StoreUnavailable`` while the database is away.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with transaction(self._engine) as connection:
            yield connection

    def ping(self) -> None:
        """Return if the database answers.

        Raises:
            StoreUnavailable: it does not.
        """
        with self._snapshot() as connection:
            connection.execute(text("SELECT 1"))
