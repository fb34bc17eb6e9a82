"""Keeps the totals of ended runs, so that no gateway has to count the history."""

from collections.abc import Mapping

from sqlalchemy import delete, select, update

from shared.run_totals import DagTotals
from shared.store import tables as t
from shared.store.engine import for_update, without_time_limit
from shared.store.queries.run_totals import changes_between, count_history, current_mark, is_later, kept_since
from shared.store.writes.base import Writer

__all__ = ["RunTotalsWrites"]

_COLUMNS = tuple(column.name for column in t.run_totals.c if column.name != "dag_name")
_LOCK = for_update(select(t.run_totals_mark.c.mark), skip_locked=True)


class RunTotalsWrites(Writer):
    """Reads and writes of kept totals."""

    def keep(self) -> int | None:
        """Add what changed since the last call to the kept totals; return how many changes.

        The first call counts the whole history, however long that takes. Returns ``None`` if another transaction is
        at it.
        """
        mark = self._connection.execute(_LOCK).scalar()
        if mark is None:
            return None
        now = current_mark(self._connection)
        if mark and is_later(self._connection, now, mark):
            changes = self._add_changes(mark, now)
        else:
            now, changes = self._count()
        # A mark without new changes moves too: the older it is, the more the next reader has to pass over.
        self._connection.execute(update(t.run_totals_mark).values(mark=now))
        # After the count, which may come late.
        removed = t.removed_changes
        self._connection.execute(delete(removed).where(removed.c.at < kept_since(self._connection)))
        return changes

    def _count(self) -> tuple[str, int]:
        without_time_limit(self._connection)
        mark, found = count_history(self._connection)
        self._put_totals(found)
        return mark, sum(sum(totals.runs.values()) for totals in found.values())

    def _add_changes(self, since: str, until: str) -> int:
        added: dict[str, DagTotals] = {}
        changes = 0
        for change in changes_between(self._connection, since, until):
            added.setdefault(change.dag_name, DagTotals()).count(change)
            changes += 1
        for row in self._rows(select(t.run_totals).where(t.run_totals.c.dag_name.in_(sorted(added)))):
            added[row["dag_name"]].add(DagTotals.from_row(row))
        self._put_totals(added)
        return changes

    def _put_totals(self, by_dag: Mapping[str, DagTotals]) -> None:
        self._put(t.run_totals, [totals.to_row(name) for name, totals in sorted(by_dag.items())], _COLUMNS)
