"""Waits for Postgres without blocking the other greenlets of a gevent process (ADR 16)."""

from collections.abc import Callable
from typing import Any

from psycopg2 import OperationalError
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_SETUP, parse_dsn, set_wait_callback

__all__ = ["wait_by"]

Waiter = Callable[[int, float | None, Exception | None], None]
"""Takes a file descriptor, a timeout in seconds (``None``: none) and an error.

Returns when the file descriptor is ready, or raises the error after the timeout.
"""


def wait_by(readable: Waiter, writable: Waiter) -> None:
    """Make every connection of this process wait in ``readable`` and ``writable``.

    By default it waits inside libpq, which blocks all greenlets. libpq does not apply ``connect_timeout`` to
    connections with a wait callback, so this function applies it: ``connect_timeout`` times the number of hosts in
    the URL is the limit for all hosts together. A statement fails, and its connection is closed, if the server sends
    nothing for the connection's ``answer_s``: a server that was stopped cannot apply its own ``statement_timeout``.
    Source: psycopg2 docs, "Support for coroutine libraries".
    """

    def wait(connection: Any) -> None:
        patience_s = getattr(connection, "answer_s", None)
        late = None if patience_s is None else OperationalError(f"no answer from the database within {patience_s:g} s")
        if connection.status == STATUS_SETUP:
            asked = parse_dsn(connection.dsn)
            hosts = asked.get("host", "").count(",") + 1
            patience_s = float(asked.get("connect_timeout", 0)) * hosts or None
            late = OperationalError(f"no connection to the database within {patience_s:g} s") if patience_s else None
        while (state := connection.poll()) != POLL_OK:
            (readable if state == POLL_READ else writable)(connection.fileno(), patience_s, late)

    set_wait_callback(wait)
