"""Reads of the mirrored dead letters."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from shared.store import tables as t
from shared.store.reads.base import Reader, columns_of

__all__ = ["DeadLetterReads", "DeadLetterRow"]


class DeadLetterRow(NamedTuple):
    """A dead letter as it was last listed. ``decision``: what is to be done with it, ``return`` or ``discard``."""

    id: str
    message_id: str
    queue: str
    reason: str
    message_type: str
    about: str
    size: int
    first_seen_at: datetime
    decision: str
    decided_by: str
    failure: str


class DeadLetterReads(Reader):
    """Reads of dead letters, which belong to the whole server."""

    def dead_letters(self, limit: int) -> tuple[DeadLetterRow, ...]:
        """Return at most ``limit`` dead letters in the order of their queue."""
        query = select(*columns_of(t.dead_letters, DeadLetterRow)).order_by(t.dead_letters.c.place).limit(limit)
        with self._statement(of_server=True) as connection:
            return tuple(DeadLetterRow(*row) for row in connection.execute(query))

    def dead_letter_of(self, message_id: str, queue: str) -> DeadLetterRow | None:
        """Return a message of this broker queue that is a dead letter and about which nothing is decided."""
        c = t.dead_letters.c
        query = select(*columns_of(t.dead_letters, DeadLetterRow)).where(
            c.message_id == message_id, c.queue == queue, c.decision == ""
        )
        with self._statement(of_server=True) as connection:
            row = connection.execute(query.limit(1)).one_or_none()
        return None if row is None else DeadLetterRow(*row)
