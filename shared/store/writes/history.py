"""Deletes old runs in transactions that stay short, also if one root run has very many sub-runs."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select

from shared.status import RunStatus
from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.queries.runs import REMOVED, of_dag
from shared.store.writes.base import Writer
from shared.store.writes.runs import RunWrites

__all__ = ["HistoryWrites"]

_AT_ONCE = 500
"""How many runs one transaction deletes, sub-runs included. Transactions are short, so that others can write."""
_ACTIVE = sorted(status.value for status in RunStatus if status.active)


class HistoryWrites(Writer):
    """Finds and deletes old runs."""

    def expired(self, dag_name: str | None, before: datetime, limit: int) -> list[str]:
        """Return and lock up to ``limit`` root runs of a DAG that ended before ``before``, oldest first.

        Without a ``dag_name``: of any DAG. Skips locked runs: another transaction is retrying or deleting them.
        """
        c = t.dag_runs.c
        query = (
            select(c.run_key)
            .where(c.root_key.is_(None), c.created_at < before, c.finished_at < before, c.status.not_in(_ACTIVE))
            .limit(limit)
        )
        if dag_name is not None:
            query = query.where(of_dag(dag_name)).order_by(c.dag_name.desc())
        query = query.order_by(c.created_at)
        return list(self._connection.execute(for_update(query, skip_locked=True)).scalars())

    def remove(self, keys: Sequence[str]) -> bool:
        """Remove these root runs, which the transaction has locked, with all their sub-runs; return if rows are left.

        As many are deleted as one transaction should delete. Of the others only the root run changes, so that nobody
        finds it any more, nor its sub-runs, which are found by it. ``remove_more`` deletes their rows.
        """
        if not keys:
            return False
        c = t.dag_runs.c
        runs = RunWrites(self._connection)
        below = select(c.root_key, func.count().label("runs")).where(c.root_key.in_(keys)).group_by(c.root_key)
        sub_runs = {row.root_key: row.runs for row in self._connection.execute(below)}
        now: list[str] = []
        later: list[str] = []
        room = _AT_ONCE
        for key in keys:
            size = 1 + sub_runs.get(key, 0)
            (now if size <= room else later).append(key)
            room -= size if size <= room else 0
        called = select(c.run_key).where(c.root_key.in_([key for key in now if key in sub_runs]))
        runs.delete([*self._connection.execute(called).scalars(), *now])
        runs.set_aside(later)
        return bool(later)

    def remove_more(self) -> int:
        """Delete some runs of a family that ``remove`` has left, the root run last; return how many, 0 if none is left.

        Skips a root run that another transaction is deleting.
        """
        c = t.dag_runs.c
        left = for_update(select(c.run_key).where(c.root_key == REMOVED).limit(1), skip_locked=True)
        root = self._connection.execute(left).scalar()
        if root is None:
            return 0
        below = self._connection.execute(select(c.run_key).where(c.root_key == root).limit(_AT_ONCE)).scalars()
        keys = list(below) or [root]
        RunWrites(self._connection).delete(keys)
        return len(keys)
