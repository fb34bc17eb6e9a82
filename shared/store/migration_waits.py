"""Says for whom the migration of a Postgres database waits while it makes or drops an index of a large table.

Such a statement waits without a limit for the end of every older transaction, such as a backup's, and holds up nobody.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, exc, text

__all__ = ["waits_are_told"]

_log = logging.getLogger(__name__)

_LOOK_S = 1.0

_HOLDERS = text("""
    SELECT DISTINCT concat_ws(', ', 'pid ' || holder.pid, nullif(holder.application_name, ''))
    FROM pg_stat_activity waiting JOIN pg_stat_activity holder ON holder.pid = ANY (pg_blocking_pids(waiting.pid))
    WHERE waiting.pid = :pid AND holder.pid <> pg_backend_pid() AND waiting.query LIKE '%CONCURRENTLY%'
    ORDER BY 1
""")


@contextmanager
def waits_are_told(connection: Connection, stop: threading.Event) -> Iterator[None]:
    """While the block migrates by ``connection``, log whom its indexes wait for; end such a wait if ``stop`` is set."""
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(connection, stop, ended), name="migration-waits", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(connection: Connection, stop: threading.Event, ended: threading.Event) -> None:
    session = connection.connection.dbapi_connection
    pid = session.get_backend_pid()  # type: ignore[union-attr]
    told: list[str] = []
    before: list[str] = []
    while not ended.wait(_LOOK_S):
        try:
            with connection.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as own:
                found = list(own.execute(_HOLDERS, {"pid": pid}).scalars())
        except exc.SQLAlchemyError:
            continue  # the next look may tell
        if found and stop.is_set():
            session.cancel()  # type: ignore[union-attr]
        elif found and found == before != told:
            told = found
            why = "an index waits for the end of all transactions that began before"
            _log.warning("migration.waits", extra={"error": why, "held_by": ", and ".join(found)})
        before = found
