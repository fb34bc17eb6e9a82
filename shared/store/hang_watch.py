"""Ends connections to a Postgres that hangs: it keeps them, and answers nothing.

A server that was stopped, or whose storage is stuck, cannot apply its own ``statement_timeout``, and while its kernel
acknowledges, no setting of TCP helps either: libpq would wait for ever. Greenlets wait for a limited time themselves
(``gevent_wait``). For threads, another thread looks at all connections: if a statement has had no answer for
``answer_s``, it shuts the socket, and the driver raises what it raises for any lost connection. No wait callback here:
with one, libpq tries no further host or address if a new connection is not answered.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from typing import Any
from weakref import WeakSet

from psycopg2 import InterfaceError
from psycopg2.extensions import connection, cursor, get_wait_callback

__all__ = ["watched"]

_log = logging.getLogger(__name__)
_LOOK_S = 1.0


class _Cursor(cursor):
    def execute(self, query: Any, vars: Any = None) -> None:
        asked: Any = self.connection
        asked.turns += 1
        try:
            super().execute(query, vars)
        finally:
            asked.turns += 1


class _Connection(connection):
    answer_s: float | None = None
    """How long Postgres may take for one answer. ``None``: as long as it wants."""
    patient = False
    """Whether there is no such limit until the transaction ends."""
    turns = 0
    """Odd while Postgres has to answer: counted when a statement begins and when it has ended."""
    _seen = 0
    _looks = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.answer_s is not None and get_wait_callback() is None:
            _watch.add(self)

    def commit(self) -> None:
        self.turns += 1
        try:
            super().commit()
        finally:
            self.turns += 1
            self.patient = False

    def rollback(self) -> None:
        self.turns += 1
        try:
            super().rollback()
        finally:
            self.turns += 1
            self.patient = False

    def hangs(self) -> bool:
        """Return whether Postgres is too late. Counts looks, not time: this process may have been frozen itself."""
        turns = self.turns
        if turns != self._seen:
            self._seen, self._looks = turns, 0
        elif turns % 2:
            self._looks += 1
        return self.answer_s is not None and not self.patient and self._looks * _LOOK_S > self.answer_s

    def cut(self) -> None:
        """Make whoever waits for an answer see the end of the connection."""
        # Whoever waits may have closed it meanwhile.
        with contextlib.suppress(OSError, InterfaceError), socket.socket(fileno=os.dup(self.fileno())) as link:
            link.shutdown(socket.SHUT_RDWR)


class _Watch:
    """Its thread runs while there are connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: WeakSet[_Connection] = WeakSet()
        self._runs = False

    def add(self, new: _Connection) -> None:
        with self._lock:
            self._connections.add(new)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="store-hang-watch", daemon=True).start()

    def _run(self) -> None:
        while self._look():
            time.sleep(_LOOK_S)

    def _look(self) -> bool:
        with self._lock:
            watched = [each for each in self._connections if not each.closed]
            self._runs = bool(watched)
        late = [each for each in watched if each.hangs()]
        if late:
            error = f"no answer from the database within {late[0].answer_s:g} s"
            _log.warning("database.hangs", extra={"error": error, "connections": len(late)})
        for each in late:
            each.cut()
        return bool(watched)


_watch = _Watch()


def watched(answer_s: float | None) -> dict[str, Any]:
    """Return arguments of ``psycopg2.connect``: a statement may wait for its answer so long (``None``: for ever)."""
    kind = type("Connection", (_Connection,), {"answer_s": answer_s})
    return {"connection_factory": kind, "cursor_factory": _Cursor}
