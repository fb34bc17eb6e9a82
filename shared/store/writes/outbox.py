"""Reads and writes of the outbox in a transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, or_, select, update

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.writes.base import FoundRow, Writer

__all__ = ["OutboxWrites"]


class OutboxWrites(Writer):
    """Reads and writes of the outbox: messages of committed transactions that the broker has not confirmed."""

    def overdue(self, before: datetime, refused: Sequence[str], limit: int) -> list[FoundRow]:
        """Return and lock up to ``limit`` messages written before ``before`` or with an id in ``refused``.

        Skips messages that another scheduler has locked for its own sweep.
        """
        c = t.outbox.c
        overdue = or_(c.created_at < before, c.id.in_(refused)) if refused else c.created_at < before
        query = select(t.outbox).where(overdue).order_by(c.id).limit(limit)
        return self._rows(for_update(query, skip_locked=True))

    def put_off(self, ids: Sequence[str], now: datetime) -> None:
        """Set ``created_at`` of these messages to ``now``, so that no other sweep takes them soon."""
        if ids:
            self._connection.execute(update(t.outbox).where(t.outbox.c.id.in_(ids)).values(created_at=now))

    def dispatched_again(self, tasks: Mapping[str, str], now: datetime) -> set[str]:
        """Set the dispatch time of these tasks to ``now``; return the tokens that no worker has started yet.

        ``tasks``: the run key of each token. Never waits for a lock: nodes that another transaction has locked keep
        their dispatch time.
        """
        if not tasks:
            return set()
        c = t.nodes.c
        # No index has the tokens; the nodes of these runs are few.
        waiting = c.run_key.in_(sorted(set(tasks.values()))), c.token.in_(sorted(tasks)), c.token_state == "dispatched"
        found = set(self._connection.execute(select(c.token).where(*waiting)).scalars())
        rows = self._rows(for_update(select(c.run_key, c.idx).where(*waiting), skip_locked=True))
        if rows:
            node = and_(c.run_key == bindparam("key"), c.idx == bindparam("position"))
            self._connection.execute(
                update(t.nodes).where(node).values(dispatched_at=now),
                [{"key": row["run_key"], "position": row["idx"]} for row in rows],
            )
        return {str(token) for token in found}

    def delete(self, ids: Sequence[str]) -> None:
        """Delete messages that the broker has confirmed."""
        if ids:
            self._connection.execute(delete(t.outbox).where(t.outbox.c.id.in_(ids)))
