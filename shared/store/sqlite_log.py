"""The write-ahead log of SQLite, which lets readers go on while another connection writes."""

import sqlite3
import time

from shared.store.time_limits import LOCK_TIMEOUT_S

__all__ = ["use_write_ahead_log"]

_AGAIN_S = 0.01


def use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch a database to the write-ahead log, if it has none yet. Raises ``sqlite3.OperationalError``.

    While another connection switches the same new database, SQLite may refuse at once instead of waiting: to wait could
    be a deadlock. So this tries again.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_S)
        else:
            return
