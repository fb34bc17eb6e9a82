"""Write transactions on SQLite: one at a time, all on one connection."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, event

__all__ = ["SqliteWriter"]

_OPTION = "dagway_sqlite_writer"
"""The execution option of an engine that holds its writer."""
_making = threading.Lock()


class SqliteWriter:
    """Runs the write transactions that a process makes through one engine. Thread-safe; get it with ``of``.

    SQLite allows one writer at a time, and waiting writers poll with sleeps of up to a tenth of a second. The lock here
    wakes the next writer without that delay.

    It keeps its connection from transaction to transaction: taking one from SQLAlchemy's pool and giving it back costs
    more CPU time than BEGIN and COMMIT. ``Engine.dispose`` closes it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._kept: list[Connection] = []
        """The connection while no transaction is open; empty before the first transaction and after an error."""
        event.listen(engine, "engine_disposed", lambda _: self._close())

    @classmethod
    def of(cls, engine: Engine) -> "SqliteWriter":
        """Return the writer of an engine on SQLite: always the same, so that all its writers wait for one lock."""
        with _making:
            writer = engine.get_execution_options().get(_OPTION)
            if not isinstance(writer, cls):
                writer = cls(engine)
                engine.update_execution_options(**{_OPTION: writer})
            return writer

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Run the block in one transaction: commit at its end, roll back if it raises."""
        with self._turn:
            connection = self._take() or self._engine.connect()
            try:
                with connection.begin():
                    yield connection
            except BaseException:
                # The pool checks and resets what it takes back, and drops a connection that cannot be reset.
                connection.close()
                raise
            self._kept.append(connection)

    def _take(self) -> Connection | None:
        # Does not ask first whether there is one: ``_close`` does not wait for its turn and may be faster.
        try:
            return self._kept.pop()
        except IndexError:
            return None

    def _close(self) -> None:
        if (connection := self._take()) is not None:
            connection.detach()  # else it would go back to the pool, which has closed all its connections already
            connection.close()
