"""What a scheduler's transaction asks about children and their parents."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal, literal_column, or_, select

from shared.store import tables as t
from shared.store.reads.queue_sharing import borrowers

__all__ = ["Family"]

_CALLS: ColumnElement[bool] = literal_column("call_token <> ''")
"""Spelled out, since SQLite does not use a partial index for a bound parameter."""

Found = dict[str, Any]


class Family:
    """The part of ``Tx`` about runs that other runs called. Nothing is locked here."""

    connection: Connection

    def child_key(self, root_key: str, dag_run_id: str) -> str | None:
        """Return the key of a run of any depth below a root."""
        c = t.dag_runs.c
        query = select(c.run_key).where(c.root_key == root_key, c.dag_run_id == dag_run_id)
        found: str | None = self.connection.execute(query).scalar()
        return found

    def children(self, root_key: str, dag_run_ids: Sequence[str]) -> list[Found]:
        """Return key, id, dag and status of runs below a root."""
        c = t.dag_runs.c
        wanted = (c.root_key == root_key, c.dag_run_id.in_(dag_run_ids))
        query = select(c.run_key, c.dag_run_id, c.dag_name, c.status).where(*wanted)
        return [dict(row) for row in self.connection.execute(query).mappings()]

    def outputs_of(self, keys: Sequence[str]) -> list[Found]:
        """Return what the steps of these runs put out, in order of definition."""
        n = t.nodes.c
        query = select(n.run_key, n.outputs).where(n.run_key.in_(keys), n.kind == "step").order_by(n.run_key, n.idx)
        return [dict(row) for row in self.connection.execute(query).mappings()]

    def params_of(self, keys: Sequence[str]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        """Return of each of these runs its evaluated parameters: key and (name, value) pairs."""
        c = t.dag_runs.c
        rows = self.connection.execute(select(c.run_key, c.params).where(c.run_key.in_(keys)))
        return [(row.run_key, tuple((name, value) for name, value in row.params or ())) for row in rows]

    def depth(self, run_key: str) -> int:
        """Return how many runs there are from the root down to this one, both counted."""
        runs = t.dag_runs.c
        chain = select(runs.parent_key.label("key"), literal(1).label("level")).where(runs.run_key == run_key)
        above = chain.cte("chain", recursive=True)
        step = select(runs.parent_key, above.c.level + 1).select_from(
            t.dag_runs.join(above, runs.run_key == above.c.key)
        )
        above = above.union_all(step)
        return int(self.connection.execute(select(func.coalesce(func.max(above.c.level), 1))).scalar_one())

    def parents_waiting(self) -> list[str]:
        """Return the runs that have a node which waits for children and may not know how they stand.

        One that waits with a child is left alone as long as one below it still does.
        """
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
        query = (
            select(n.run_key)
            .join_from(t.nodes, parent, parent.c.run_key == n.run_key)
            .where(_CALLS, or_(n.status != "waiting", ~held))
            .distinct()
            .order_by(n.run_key)
        )
        return list(self.connection.execute(query).scalars())

    def borrowers(self, queue: str) -> dict[str, str]:
        """Return the queued runs of a queue that may take over the place of a run above them, and of which."""
        return {row.key: row.above for row in self.connection.execute(borrowers([queue]))}

    def dag_called(self, name: str) -> Found | None:
        """Return the dag of that file name, else the first of that name."""
        c = t.dags.c
        by_file = select(t.dags).where(c.file_name == name)
        by_name = select(t.dags).where(c.dag_name == name).order_by(c.file_name).limit(1)
        for query in (by_file, by_name):
            row = self.connection.execute(query).mappings().first()
            if row is not None:
                return dict(row)
        return None
