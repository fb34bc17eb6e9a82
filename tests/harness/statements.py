"""Collects the statements that are sent to a database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

__all__ = ["NODES_READ", "statements"]

NODES_READ = "ORDER BY nodes.run_key, nodes.idx"
"""How the statement ends by which a scheduler reads the nodes of runs that it has not in memory."""


@contextmanager
def statements(engine: Engine | type[Engine]) -> Iterator[list[str]]:
    """Collect what the block sends by ``engine``, or with the class by any, from all threads."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        # Not when a scheduler reads the database's time: how often follows from the clock, not from the work.
        if "clock_timestamp()" not in statement:
            sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
