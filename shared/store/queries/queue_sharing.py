"""Queue sharing: a running run lends its place in its queue to one of its sub-runs (any depth) in the same queue.

Without this, a run would wait forever for a sub-run that waits for the run's own place.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from shared.store import tables as t
from shared.store.queries.runs import QUEUED, RUNNING

__all__ = ["borrowers", "lenders"]


def lenders(queues: Sequence[str]) -> Select[Any]:
    """Select the keys of the running runs in these queues that have a running sub-run in the same queue."""
    return select(_running_above(queues, RUNNING).subquery().c.above)


def borrowers(queues: Sequence[str]) -> Select[Any]:
    """Select pairs of keys: ``key`` is a queued run, ``above`` a running run above it that can lend it its place.

    Both are in the same queue, and ``above`` does not lend its place to another sub-run yet.
    """
    pairs = _running_above(queues, QUEUED).subquery()
    return select(pairs.c.key, pairs.c.above).where(pairs.c.above.not_in(lenders(queues)))


def _running_above(queues: Sequence[str], status: ColumnElement[str]) -> Select[Any]:
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
