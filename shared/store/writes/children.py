"""Reads of sub-runs and their parents in a transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, literal, literal_column, or_, select

from shared.store import tables as t
from shared.store.writes.base import FoundRow, Writer

__all__ = ["CALLERS_WAITING", "ChildReads"]

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
    n, parent, child = t.nodes.c, t.dag_runs.alias("parent"), t.dag_runs.alias("child")
    held = (
        select(child.c.run_key)
        .where(
            child.c.root_key == func.coalesce(parent.c.root_key, parent.c.run_key),
            child.c.parent_key == parent.c.run_key,
            child.c.status == "waiting",
        )
        .exists()
    )
    callers = select(n.run_key).join_from(t.nodes, parent, parent.c.run_key == n.run_key)
    return callers.where(_CALLS, or_(n.status != "waiting", ~held))


CALLERS_WAITING = _select_callers_waiting()
"""The runs of ``ChildReads.parents_waiting``, each as often as it has such nodes."""


class ChildReads(Writer):
    """Reads of sub-runs. Locks and writes nothing."""

    __slots__ = ()

    def key(self, root_key: str, dag_run_id: str) -> str | None:
        """Return the key of a sub-run at any depth below a root run, or ``None`` if it does not exist."""
        c = t.dag_runs.c
        query = select(c.run_key).where(c.root_key == root_key, c.dag_run_id == dag_run_id)
        found: str | None = self._connection.execute(query).scalar()
        return found

    def keys(self, root_key: str, dag_run_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Return id and key of those of the sub-runs below a root run that exist."""
        c = t.dag_runs.c
        query = select(c.dag_run_id, c.run_key).where(c.root_key == root_key, c.dag_run_id.in_(dag_run_ids))
        return [(row.dag_run_id, row.run_key) for row in self._connection.execute(query)]

    def statuses(self, root_key: str, dag_run_ids: Sequence[str]) -> list[FoundRow]:
        """Return key, id, DAG name and status of sub-runs below a root run."""
        c = t.dag_runs.c
        wanted = (c.root_key == root_key, c.dag_run_id.in_(dag_run_ids))
        query = select(c.run_key, c.dag_run_id, c.dag_name, c.status).where(*wanted)
        return self._rows(query)

    def outputs_of(self, keys: Sequence[str]) -> list[FoundRow]:
        """Return the outputs of the steps of these runs, in the order of the steps in the spec."""
        n = t.nodes.c
        query = select(n.run_key, n.outputs).where(n.run_key.in_(keys), n.kind == "step").order_by(n.run_key, n.idx)
        return self._rows(query)

    def params_of(self, keys: Sequence[str]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        """Return the evaluated parameters of each of these runs: its key and (name, value) pairs."""
        c = t.dag_runs.c
        rows = self._connection.execute(select(c.run_key, c.params).where(c.run_key.in_(keys)))
        return [(row.run_key, tuple((name, value) for name, value in row.params or ())) for row in rows]

    def depth(self, run_key: str) -> int:
        """Return the depth of a run: 1 for a root run, 2 for its sub-runs, and so on."""
        return int(self._connection.execute(_DEPTH, {"run_key": run_key}).scalar_one())

    def parents_waiting(self) -> list[str]:
        """Return the keys of runs that may not know yet that the status of a sub-run has changed.

        These are the runs with a node that has unfinished sub-runs. Left out are nodes that show ``waiting`` (for an
        approval) while one of their sub-runs does: they know.
        """
        return list(self._connection.execute(CALLERS_WAITING.distinct().order_by(t.nodes.c.run_key)).scalars())
