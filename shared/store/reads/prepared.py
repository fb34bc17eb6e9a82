"""SELECTs that go to the driver directly: those of a run and of a page of DAGs, which clients ask for most (ADR 66).

Postgres plans them once per connection, and any other statement each time: for a run with its nodes, planning takes
four times as long as execution. SQLAlchemy costs as much again as psycopg2, and on SQLite more than the statement.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from itertools import count
from typing import Any, TypeAlias

from sqlalchemy import Connection, Engine, Select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from shared.store.engine import has_own_session, is_postgres, one_statement, store_errors
from shared.store.workspace_scope import naming

__all__ = ["AnySelect", "PreparedSelect"]

AnySelect: TypeAlias = Select[*tuple[Any, ...]]
_PREPARED = "dagway_prepared"
"""Key in ``Connection.info``, which lives as long as the driver's connection: the names of what it has prepared."""
_Parameters = Sequence[tuple[str, Any]]
"""The names of parameters in the order of the SQL, with the values that are fixed."""
_NUMBERS = count()
_MOST = 60
"""How many statements a connection has prepared at most: the reads of this program, for each of the last workspaces."""


class PreparedSelect:
    """A SELECT that is executed outside transactions, with texts and whole numbers as its parameters.

    Its columns must have types that psycopg2 converts without SQLAlchemy's help. On SQLite, SQLAlchemy's functions
    convert their values.
    """

    def __init__(self, select: AnySelect) -> None:
        self._select = select

    def rows(self, engine: Engine, **given: str | int) -> Sequence[Sequence[Any]]:
        """Return all rows, for values of all parameters. Raises what ``one_statement`` raises.

        Behind a pooler, which may lend another session to each transaction, nothing is prepared. SQLite's driver
        keeps prepared statements itself.
        """
        if not is_postgres(engine):
            return self._of_sqlite(engine, given)
        with one_statement(engine) as connection:
            return self._of_postgres(connection, given)

    def _of_postgres(self, connection: Connection, given: Mapping[str, str | int]) -> Sequence[Sequence[Any]]:
        if not has_own_session(connection):
            return connection.execute(self._select, given).all()
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
                values = [given.get(parameter, fixed) for parameter, fixed in parameters]
                cursor.execute(f"{for_workspace}EXECUTE {name}({places})", values)
                return cursor.fetchall()
        except connection.dialect.loaded_dbapi.Error:
            # SQLAlchemy meets the same error, raises it as its own and closes a lost connection. But Postgres also
            # refuses a plan after a migration has changed the type of a column: then this succeeds.
            prepared.pop(key, None)
            return connection.execute(self._select, given).all()

    def _of_sqlite(self, engine: Engine, given: Mapping[str, str | int]) -> Sequence[Sequence[Any]]:
        text, parameters, converted = self._for_sqlite
        values = [given.get(parameter, fixed) for parameter, fixed in parameters]
        try:
            # Without SQLAlchemy's ``Connection``, which takes as long as the pool. And without BEGIN: one statement
            # sees one snapshot, and the engine's connections begin nothing themselves.
            with store_errors(), closing(engine.raw_connection()) as lent, closing(lent.cursor()) as cursor:
                cursor.execute(text, values)
                found = [list(row) for row in cursor.fetchall()]
        except engine.dialect.loaded_dbapi.Error:
            # SQLAlchemy meets the same error and raises it as its own.
            with one_statement(engine) as connection:
                return connection.execute(self._select, given).all()
        for row in found:
            for place, convert in converted:
                if row[place] is not None:
                    row[place] = convert(row[place])
        return found

    @cached_property
    def _for_sqlite(self) -> tuple[str, _Parameters, Sequence[tuple[int, Callable[[Any], Any]]]]:
        """The SQL with ``?``, its parameters, and the columns whose values are converted, each with its function."""
        dialect: Dialect = sqlite.dialect()
        types = [column.type.dialect_impl(dialect) for column in self._select.selected_columns]
        converters = [each.result_processor(dialect, None) for each in types]
        converted = [(place, convert) for place, convert in enumerate(converters) if convert is not None]
        return *_compiled(self._select, dialect), converted

    @cached_property
    def _numbered(self) -> tuple[str, _Parameters]:
        """The SQL with ``$1``, and its parameters in this order."""
        return _compiled(self._select, postgresql.dialect(paramstyle="numeric_dollar"))  # type: ignore[no-untyped-call]


def _compiled(select: AnySelect, dialect: Dialect) -> tuple[str, _Parameters]:
    compiled = select.compile(dialect=dialect)
    return str(compiled), [(name, compiled.params[name]) for name in compiled.positiontup or ()]
