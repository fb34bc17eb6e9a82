"""Deletes old runs in a transaction."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from sqlalchemy import func, select

from shared.status import RunStatus
from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.writes.base import Writer
from shared.store.writes.runs import RunWrites

__all__ = ["HistoryWrites"]

_ACTIVE = sorted(status.value for status in RunStatus if status.active)


class HistoryWrites(Writer):
    """Finds and deletes old runs."""

    def expired(self, dag_name: str | None, before: datetime, limit: int, *, most: int) -> list[str]:
        """Return and lock up to ``limit`` root runs of a DAG that ended before ``before``, oldest first.

        With their sub-runs they are at most ``most`` runs, or it is one root run. Without a ``dag_name``: of any DAG.
        Skips locked runs: another transaction is retrying or deleting them.
        """
        c = t.dag_runs.c
        query = (
            select(c.run_key)
            .where(c.root_key.is_(None), c.created_at < before, c.finished_at < before, c.status.not_in(_ACTIVE))
            .order_by(c.created_at)
            .limit(limit)
        )
        if dag_name is not None:
            query = query.where(c.dag_name == dag_name)
        keys = list(self._connection.execute(for_update(query, skip_locked=True)).scalars())
        if not keys:
            return []
        below = select(c.root_key, func.count().label("runs")).where(c.root_key.in_(keys)).group_by(c.root_key)
        sub_runs = {row.root_key: row.runs for row in self._connection.execute(below)}
        totals = list(accumulate(1 + sub_runs.get(key, 0) for key in keys))
        return keys[: max(1, bisect_right(totals, most))]

    def remove(self, keys: Sequence[str]) -> None:
        """Delete these root runs with all their sub-runs, and all rows of these runs."""
        if not keys:
            return
        c = t.dag_runs.c
        runs = RunWrites(self._connection)
        below = list(self._connection.execute(select(c.run_key).where(c.root_key.in_(keys))).scalars())
        for start in range(0, len(below), 500):
            runs.delete(below[start : start + 500])
        runs.delete(keys)
