"""Reads and writes of executions in a transaction."""

from collections.abc import Collection

from sqlalchemy import select, update

from shared.status import AttemptState, Begun
from shared.store import tables as t
from shared.store.writes.base import Writer

__all__ = ["ExecutionWrites"]


class ExecutionWrites(Writer):
    """Reads executions, and writes what they tell about closed attempts."""

    def known(self, run_keys: Collection[str], tokens: Collection[str]) -> set[tuple[str, str, str]]:
        """Return ``(token, worker id, incarnation)`` of the recorded executions of these tokens of these runs."""
        c = t.executions.c
        query = select(c.token, c.worker_id, c.incarnation).where(c.run_key.in_(run_keys), c.token.in_(tokens))
        return {(row.token, row.worker_id, row.incarnation) for row in self._connection.execute(query)}

    def mark_begun(self, tokens: Collection[str]) -> None:
        """Record that withdrawn attempts with these tokens were begun after all."""
        if not tokens:
            return
        c = t.attempts.c
        withdrawn = c.token.in_(tokens), c.state == str(AttemptState.WITHDRAWN)
        self._connection.execute(update(t.attempts).where(*withdrawn).values(begun=str(Begun.YES)))
