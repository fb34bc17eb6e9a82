"""Queue sharing: a running run lends its place in its queue to one of its sub-runs (any depth) in the same queue.

Without this, a run would wait forever for a sub-run that waits for the run's own place. Both queries take the names of
queues as the parameter ``queues``. They are built once, since that takes longer than most of their executions.
"""

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, func, select

from shared.store import tables as t
from shared.store.queries.runs import QUEUED, RUNNING

__all__ = ["BORROWERS", "LENDERS"]


def _running_above(status: ColumnElement[str]) -> Select[Any]:
    queues: BindParameter[Any] = bindparam("queues", expanding=True)
    run, parent, above = t.dag_runs.c, t.dag_runs.alias("parent"), t.dag_runs.alias("above_run")
    roots = select(func.coalesce(run.root_key, run.run_key)).where(run.queue.in_(queues), run.status == RUNNING)
    chain = (
        select(run.queue, run.run_key.label("key"), run.parent_key.label("above"))
        .where(run.queue.in_(queues), run.status == status, run.parent_key.is_not(None), run.root_key.in_(roots))
        .cte(recursive=True)
    )
    chain = chain.union_all(
        select(chain.c.queue, chain.c.key, parent.c.parent_key)
        .join(parent, parent.c.run_key == chain.c.above)
        .where(parent.c.parent_key.is_not(None))
    )
    return select(chain.c.key, chain.c.above).join(
        above, and_(above.c.run_key == chain.c.above, above.c.queue == chain.c.queue, above.c.status == RUNNING)
    )


LENDERS: Select[Any] = select(_running_above(RUNNING).subquery().c.above)
"""The keys of the running runs in these queues that have a running sub-run in the same queue."""

_pairs = _running_above(QUEUED).subquery()
BORROWERS: Select[Any] = select(_pairs.c.key, _pairs.c.above).where(_pairs.c.above.not_in(LENDERS))
"""Pairs of keys: ``key`` is a queued run, ``above`` a running run above it that can lend it its place.

Both are in the same queue, and ``above`` does not lend its place to another sub-run yet.
"""
