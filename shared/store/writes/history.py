"""What a scheduler's transaction forgets of the past."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select

from shared.status import RunStatus
from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.writes.transaction import Tx

__all__ = ["History"]

_ACTIVE = sorted(status.value for status in RunStatus if status.active)
_BELONGING = (t.attempts, t.log_chunks)
"""Tables of a run that the database does not clear by itself when the run goes."""


class History:
    """Removes runs within the transaction ``tx``."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def expired(self, dag_name: str, before: datetime, limit: int) -> list[str]:
        """Return and lock some root runs of a dag whose last attempt ended before ``before``.

        Those that somebody holds are left out: they are being retried, or removed by another scheduler.
        """
        c = t.dag_runs.c
        query = (
            select(c.run_key)
            .where(c.dag_name == dag_name, c.root_key.is_(None), c.created_at < before)
            .where(c.finished_at < before, c.status.not_in(_ACTIVE))
            .order_by(c.created_at)
            .limit(limit)
        )
        return list(self._tx.connection.execute(for_update(query, skip_locked=True)).scalars())

    def remove(self, keys: Sequence[str]) -> None:
        """Remove these root runs, all runs below them, and what belongs to any of these."""
        c = t.dag_runs.c
        execute = self._tx.connection.execute
        below = list(execute(select(c.run_key).where(c.root_key.in_(keys))).scalars())
        for start in range(0, len(below), 500):
            self._remove(below[start : start + 500])
        self._remove(keys)

    def _remove(self, keys: Sequence[str]) -> None:
        for table in _BELONGING:
            self._tx.connection.execute(delete(table).where(table.c.run_key.in_(keys)))
        self._tx.connection.execute(delete(t.dag_runs).where(t.dag_runs.c.run_key.in_(keys)))
