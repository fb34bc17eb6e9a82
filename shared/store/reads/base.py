"""The base class of all readers."""

import copy
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Self, TypeAlias

from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, and_, func, literal_column, true

from shared.store.clock import StoreClock
from shared.store.engine import one_statement, transaction
from shared.store.functions import workspace_prefix
from shared.store.migrate import HEAD, revision
from shared.store.reads.prepared import AnySelect, PreparedSelect
from shared.store.workspace_scope import of_every_workspace, of_workspace
from shared.workspaces import DEFAULT, MARK, name_prefix

__all__ = ["AnyRow", "AnySelect", "Reader", "SchemaRevision", "columns_of"]

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
_MOST_KEPT = 100
"""For how many workspaces a reader keeps an engine and statements."""


def columns_of(table: Table, kind: type[Any]) -> list[ColumnElement[Any]]:
    """Return the columns of a table that a dataclass or named tuple has fields for, in the order of its fields."""
    return [table.c[name] for name in kind.__match_args__]


class SchemaRevision(NamedTuple):
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

    A new reader reads everything, for what is no request about one workspace: logins, metrics, readiness. ``within``
    limits a reader to a workspace: then no list and no count has what belongs to another one, and Postgres hides it
    from all its statements but those ``of_server``. Methods that get a name get a stored name.
    """

    def __init__(self, engine: Engine) -> None:
        self._unscoped = engine
        self._engine = self._unlimited = of_every_workspace(engine)
        self._workspace: str | None = None
        self.clock: StoreClock | None = None
        """Corrected by the database's time by what is read, at most once a second."""
        self._limited: dict[str, tuple[Engine, dict[Hashable, PreparedSelect]]] = {}
        self._prepared_selects: dict[Hashable, PreparedSelect] = {}

    def within(self, workspace: str) -> Self:
        """Return a reader of this workspace, over the same engine. Raises ``ValueError`` if none can have this name."""
        # Making the engine takes as long as a small query. But a caller of a webhook can make up any number of names.
        kept = self._limited.get(workspace)
        if kept is None:
            kept = of_workspace(self._unscoped, workspace), {}
            if len(self._limited) >= _MOST_KEPT:
                self._limited.clear()
            self._limited[workspace] = kept
        found = copy.copy(self)
        found._workspace = workspace  # noqa: SLF001 - a copy of this object
        found._engine, found._prepared_selects = kept  # noqa: SLF001
        return found

    def _ours(self, name: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the condition that a stored name belongs to the workspace of this reader."""
        if self._workspace is None:
            return true()
        if self._workspace == DEFAULT:
            # Postgres estimates this well, an expression not at all: it would read the whole history for a list.
            return name.not_like(f"%{MARK}%")
        found = workspace_prefix(name)
        # The second condition is that of the index on runs of named workspaces.
        return and_(found == name_prefix(self._workspace), found != literal_column("''"))

    def _plain(self, name: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a stored name of the reader's workspace as its users know it, to search in it."""
        return func.substr(name, len(name_prefix(self._workspace)) + 1) if self._workspace else name

    def _prepared(self, kind: Hashable, make: Callable[[], AnySelect]) -> PreparedSelect:
        """Return the statement that ``make`` builds, which is built once for each ``kind`` and workspace.

        Its text must not depend on values: those are parameters.
        """
        found = self._prepared_selects.get(kind)
        if found is None:
            found = self._prepared_selects[kind] = PreparedSelect(make())
        return found

    def _statement(self, *, of_server: bool = False) -> AbstractContextManager[Connection]:
        """Return a context manager for a single statement. ``of_server``: Postgres shows it every workspace."""
        return self._timed(one_statement(self._unlimited if of_server else self._engine))

    def _snapshot(self) -> AbstractContextManager[Connection]:
        """Return a context manager for several statements, which see one snapshot."""
        return self._timed(transaction(self._engine))

    def _timed(self, opened: AbstractContextManager[Connection]) -> AbstractContextManager[Connection]:
        return opened if self.clock is None else _followed(self.clock, opened)

    def schema(self) -> SchemaRevision:
        """Return the expected and the found schema revision."""
        with self._snapshot() as connection:
            return SchemaRevision(HEAD, revision(connection))


@contextmanager
def _followed(clock: StoreClock, opened: AbstractContextManager[Connection]) -> Iterator[Connection]:
    with opened as connection:
        clock.follow(connection)
        yield connection
