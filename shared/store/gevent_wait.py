"""Waits for Postgres without blocking the other greenlets of a gevent process (ADR 16)."""

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any

from psycopg2 import OperationalError
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_SETUP, get_wait_callback, parse_dsn, set_wait_callback

__all__ = ["connect_in_turn", "wait_by"]

Waiter = Callable[[int, float | None, Exception | None], None]
"""Takes a file descriptor, a timeout in seconds (``None``: none) and an error.

Returns when the file descriptor is ready, or raises the error after the timeout.
"""


def wait_by(readable: Waiter, writable: Waiter) -> None:
    """Make every connection of this process wait in ``readable`` and ``writable``.

    By default it waits inside libpq, which blocks all greenlets. libpq does not apply ``connect_timeout`` to
    connections with a wait callback, so this function applies it; see also ``connect_in_turn``. A statement fails, and
    its connection is closed, if the server sends nothing for the connection's ``answer_s``: a server that was stopped
    cannot apply its own ``statement_timeout``.
    Source: psycopg2 docs, "Support for coroutine libraries".
    """

    def wait(connection: Any) -> None:
        patience_s = getattr(connection, "answer_s", None)
        late = None if patience_s is None else OperationalError(f"no answer from the database within {patience_s:g} s")
        if connection.status == STATUS_SETUP:
            patience_s = float(parse_dsn(connection.dsn).get("connect_timeout", 0)) or None
            late = OperationalError(f"no connection to the database within {patience_s:g} s") if patience_s else None
        while (state := connection.poll()) != POLL_OK:
            (readable if state == POLL_READ else writable)(connection.fileno(), patience_s, late)

    set_wait_callback(wait)


def connect_in_turn(connect: Callable[..., Any], parameters: Mapping[str, Any]) -> Any:
    """Return a connection to the first host of several that answers, or ``None`` if ``connect`` has no need of this.

    libpq goes on to the next host if one refuses the connection. If one does not answer, as after a failover, it does
    so only without a wait callback. ``connect`` takes ``parameters``, with those of one host.
    """
    hosts, ports = (str(parameters.get(name, "")).split(",") for name in ("host", "port"))
    # To prefer a standby, libpq looks at all hosts before it takes one.
    prefers = parameters.get("target_session_attrs") == "prefer-standby"
    if len(hosts) == 1 or prefers or get_wait_callback() is None:
        return None
    for number, (host, port) in enumerate(zip(hosts, cycle(ports), strict=False), 1):
        try:
            return connect(**{**parameters, "host": host, "port": port})
        except OperationalError:
            if number == len(hosts):
                raise
    return None
