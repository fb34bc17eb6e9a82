"""Letting others go on while Postgres answers, in a process that has one thread for many (ADR 16)."""

from collections.abc import Callable
from typing import Any

from psycopg2 import OperationalError
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_SETUP, parse_dsn, set_wait_callback

__all__ = ["wait_by"]

Waiter = Callable[[int, float | None, Exception | None], None]
"""Given a file descriptor, returns when it is ready; after so many seconds it raises that error instead."""


def wait_by(readable: Waiter, writable: Waiter) -> None:
    """Have every connection of this process wait by these, not inside libpq, where no other thread of ours gets on.

    libpq's own ``connect_timeout`` does not hold for a connection that is made this way: it is kept here,
    for all hosts of the URL together. Source: psycopg2 docs, "Support for coroutine libraries".
    """

    def wait(connection: Any) -> None:
        patience_s, late = None, None
        if connection.status == STATUS_SETUP:
            asked = parse_dsn(connection.dsn)
            hosts = asked.get("host", "").count(",") + 1
            patience_s = float(asked.get("connect_timeout", 0)) * hosts or None
            late = OperationalError(f"no connection within {patience_s:g} s") if patience_s else None
        while (state := connection.poll()) != POLL_OK:
            (readable if state == POLL_READ else writable)(connection.fileno(), patience_s, late)

    set_wait_callback(wait)
