"""SELECTs that Postgres plans once per connection: the reads of one run, which the gateway needs most often.

Postgres plans any other statement each time. For a run with its nodes, planning takes four times as long as execution.
SQLAlchemy costs as much again as psycopg2, so these statements go to psycopg2 directly (ADR 66).
"""

from collections.abc import Sequence
from contextlib import closing
from functools import cached_property
from itertools import count
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from shared.store.engine import has_own_session
from shared.store.reads.base import AnySelect
from shared.store.workspace_scope import naming

__all__ = ["PreparedSelect"]

_PREPARED = "dagway_prepared"
"""Key in ``Connection.info``, which lives as long as the driver's connection: the names of what it has prepared."""
_NUMBERS = count()
_MOST = 60
"""How many statements a connection has prepared at most: the reads of this program, for each of the last workspaces."""


class PreparedSelect:
    """A SELECT that is executed outside transactions, with texts as its parameters.

    Its columns must have types that psycopg2 converts without SQLAlchemy's help.
    """

    def __init__(self, select: AnySelect) -> None:
        self._select = select

    def rows(self, connection: Connection, **texts: str) -> Sequence[Sequence[Any]]:
        """Return all rows, for values of all parameters. Raises what ``Connection.execute`` raises.

        On SQLite and behind a pooler, which may lend another session to each transaction, nothing is prepared.
        """
        if not has_own_session(connection):
            return connection.execute(self._select, texts).all()
        prepared: dict[tuple[PreparedSelect, str], str] = connection.info.setdefault(_PREPARED, {})
        # A plan is for one workspace: it has only the branch of the policies for that one.
        for_workspace = naming(connection)
        key = (self, for_workspace)
        text, parameters = self._numbered
        try:
            with closing(connection.connection.cursor()) as cursor:
                name = prepared.get(key)
                if name is None:
                    if len(prepared) == _MOST:
                        cursor.execute("DEALLOCATE ALL")
                        prepared.clear()
                    name = f"dagway_{next(_NUMBERS)}"
                    cursor.execute(f"PREPARE {name} AS {text}")
                    prepared[key] = name
                places = ", ".join(["%s"] * len(parameters))
                values = [texts.get(parameter, fixed) for parameter, fixed in parameters]
                cursor.execute(f"{for_workspace}EXECUTE {name}({places})", values)
                return cursor.fetchall()
        except connection.dialect.loaded_dbapi.Error:
            # SQLAlchemy meets the same error, raises it as its own and closes a lost connection. But Postgres also
            # refuses a plan after a migration has changed the type of a column: then this succeeds.
            prepared.pop(key, None)
            return connection.execute(self._select, texts).all()

    @cached_property
    def _numbered(self) -> tuple[str, Sequence[tuple[str, Any]]]:
        """The SQL with ``$1``, and in this order the names of the parameters with the values that are fixed."""
        dialect: Dialect = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
        compiled = self._select.compile(dialect=dialect)
        return str(compiled), [(name, compiled.params[name]) for name in compiled.positiontup or ()]
