"""Reads of sub-runs and their parents in a transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, literal, literal_column, or_, select

from shared.store import tables as t
from shared.store.writes.base import FoundRow, Writer

__all__ = ["CALLERS_WAITING", "ChildReads"]

_AT_ONCE = 1000
"""How many sub-runs one statement names: SQLite limits the number of values."""
_GOOD = ("succeeded", "partially_succeeded")
_WAITS = 1
"""The rank of a sub-run that waits for approval: above one that has succeeded, below all others."""
_CALLS: ColumnElement[bool] = literal_column("call_token <> ''")
"""A literal, because SQLite does not use a partial index for a bound parameter."""


def _select_depth() -> Select[Any]:
    runs = t.dag_runs.c
    chain = select(runs.parent_key.label("key"), literal(1).label("level")).where(runs.run_key == bindparam("run_key"))
    above = chain.cte("chain", recursive=True)
    step = select(runs.parent_key, above.c.level + 1).select_from(t.dag_runs.join(above, runs.run_key == above.c.key))
    above = above.union_all(step)
    return select(func.coalesce(func.max(above.c.level), 1))


_DEPTH = _select_depth()


def _select_callers_waiting() -> Select[Any]:
    n, run, child = t.nodes.c, t.dag_runs.alias("run"), t.dag_runs.alias("child").c
    roots = (
        select(func.coalesce(run.c.root_key, run.c.run_key))
        .join_from(t.nodes, run, run.c.run_key == n.run_key)
        .where(_CALLS, n.status == "waiting")
    )
    rank = case((child.status == "waiting", _WAITS), (child.status.in_(_GOOD), _WAITS - 1), else_=_WAITS + 1)
    # Each family is read once. For each node that waits apart, its whole family would be read.
    known = (
        select(child.parent_key, child.parent_node, func.max(rank).label("rank"))
        .where(child.root_key.in_(roots))
        .group_by(child.parent_key, child.parent_node)
        .subquery()
    )
    of_node = and_(known.c.parent_key == n.run_key, known.c.parent_node == n.idx)
    callers = select(n.run_key).select_from(t.nodes.outerjoin(known, of_node))
    return callers.where(_CALLS, or_(n.status != "waiting", known.c.rank.is_(None), known.c.rank != _WAITS))


CALLERS_WAITING = _select_callers_waiting()
"""The runs of ``ChildReads.parents_waiting``, each as often as it has such nodes."""


class ChildReads(Writer):
    """Reads of sub-runs. Locks and writes nothing."""

    def keys(self, root_key: str, dag_run_ids: Sequence[str]) -> dict[str, str]:
        """Return the keys of those of the sub-runs below a root run, at any depth, that exist, by id."""
        c = t.dag_runs.c
        query = select(c.dag_run_id, c.run_key).where(c.root_key == root_key)
        return {row["dag_run_id"]: row["run_key"] for row in self._with_any(query, c.dag_run_id, dag_run_ids)}

    def statuses(self, root_key: str, dag_run_ids: Sequence[str]) -> list[FoundRow]:
        """Return key, id, DAG name and status of sub-runs below a root run."""
        c = t.dag_runs.c
        query = select(c.run_key, c.dag_run_id, c.dag_name, c.status).where(c.root_key == root_key)
        return self._with_any(query, c.dag_run_id, dag_run_ids)

    def outputs_of(self, keys: Sequence[str]) -> list[FoundRow]:
        """Return the outputs of the steps of these runs, for each run in the order of the steps in the spec."""
        n = t.nodes.c
        query = select(n.run_key, n.outputs).where(n.kind == "step").order_by(n.run_key, n.idx)
        return self._with_any(query, n.run_key, keys)

    def params_of(self, keys: Sequence[str]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        """Return the evaluated parameters of each of these runs: its key and (name, value) pairs."""
        c = t.dag_runs.c
        rows = self._with_any(select(c.run_key, c.params), c.run_key, keys)
        return [(row["run_key"], tuple((name, value) for name, value in row["params"] or ())) for row in rows]

    def depth(self, run_key: str) -> int:
        """Return the depth of a run: 1 for a root run, 2 for its sub-runs, and so on."""
        return int(self._connection.execute(_DEPTH, {"run_key": run_key}).scalar_one())

    def parents_waiting(self) -> list[str]:
        """Return the keys of runs that may not know yet that the status of a sub-run has changed.

        These are the runs with a node that has unfinished sub-runs. Left out are nodes that show ``waiting`` (for an
        approval) while one of their own sub-runs does and the others have succeeded: they know.
        """
        return list(self._connection.execute(CALLERS_WAITING.distinct().order_by(t.nodes.c.run_key)).scalars())

    def _with_any(self, query: Select[Any], column: ColumnElement[str], values: Sequence[str]) -> list[FoundRow]:
        """Return the rows of a query that have one of these values in a column."""
        parts = (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
        return [row for some in parts for row in self._rows(query.where(column.in_(some)))]
