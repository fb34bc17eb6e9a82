"""Counts of root runs by status: reads the kept totals once, then only the changes committed since."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import select

from shared.run_totals import DagTotals, StatusChange
from shared.store import tables as t
from shared.store.queries.run_totals import changes_between, count_history, current_mark, is_later
from shared.store.reads.base import Reader
from shared.workspaces import workspace_of

__all__ = ["History", "TotalsReads"]


class History(NamedTuple):
    """Totals of all root runs, by DAG name. Pass ``mark`` to the next call of ``changes_since``."""

    mark: str
    by_dag: Mapping[str, DagTotals]


class TotalsReads(Reader):
    """Counts over the history of runs."""

    def history(self) -> History:
        """Return the totals that schedulers keep (``RunTotalsWrites``), of a moment not long ago.

        Before a scheduler has kept any, counts all runs, which takes minutes if there are millions.
        """
        with self._snapshot() as connection:
            mark = connection.execute(select(t.run_totals_mark.c.mark)).scalar()
            if not mark or not is_later(connection, current_mark(connection), mark):
                mark, counted = count_history(connection)
                return History(mark, {name: each for name, each in counted.items() if self._is_ours(name)})
            query = select(t.run_totals).where(self._ours(t.run_totals.c.dag_name))
            rows = [dict(row) for row in connection.execute(query).mappings()]
            return History(mark, {row["dag_name"]: DagTotals.from_row(row) for row in rows})

    def changes_since(self, mark: str) -> tuple[str, tuple[StatusChange, ...]]:
        """Return a new mark, and the changes of root runs' statuses committed since ``mark``.

        If each call passes the mark of the previous call, every change is returned exactly once.
        """
        with self._snapshot() as connection:
            new = current_mark(connection)
            found = changes_between(connection, mark, new)
            return new, tuple(change for change in found if self._is_ours(change.dag_name))

    def _is_ours(self, dag_name: str) -> bool:
        return self._workspace is None or workspace_of(dag_name) == self._workspace
