"""Reads of how long the runs of a DAG and their steps took, and why they failed."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select

from shared.status import NodeStatus, RunStatus
from shared.store import tables as t
from shared.store.queries.runs import OF_DAG_NEWEST_FIRST, of_dag
from shared.store.reads.base import Reader

__all__ = ["EndedRunRow", "EndedStepRow", "StatisticsReads"]

_r = t.dag_runs.c
_n = t.nodes.c


class EndedRunRow(NamedTuple):
    """A root run that has ended. ``started_at`` is the start of its last attempt."""

    run_key: str
    dag_run_id: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime
    error: str


class EndedStepRow(NamedTuple):
    """A step of a run that has started and ended."""

    run_key: str
    name: str
    status: NodeStatus
    started_at: datetime
    finished_at: datetime
    error: str


class StatisticsReads(Reader):
    """Reads of ended runs."""

    def ended_runs(self, dag_name: str, *, limit: int) -> tuple[EndedRunRow, ...]:
        """Return the newest root runs of a DAG that have started and ended, newest first."""
        query = (
            select(_r.run_key, _r.dag_run_id, _r.status, _r.started_at, _r.finished_at, _r.error)
            .where(of_dag(dag_name), _r.root_key.is_(None))
            .where(_r.finished_at.is_not(None), _r.started_at.is_not(None))
            .order_by(*OF_DAG_NEWEST_FIRST)
            .limit(limit)
        )
        with self._statement() as connection:
            return tuple(EndedRunRow(row[0], row[1], RunStatus(row[2]), *row[3:]) for row in connection.execute(query))

    def ended_steps(self, run_keys: Sequence[str], *, most: int) -> tuple[EndedStepRow, ...]:
        """Return the ended steps of these runs, in the order of the DAG.

        Runs at the end of ``run_keys`` are left out if all runs together would have more than ``most`` steps, going by
        the first run.
        """
        if not run_keys:
            return ()
        with self._snapshot() as connection:
            size = connection.execute(select(func.count()).where(_n.run_key == run_keys[0])).scalar_one()
            keys = list(run_keys[: max(1, most // max(1, size))])
            rows = connection.execute(
                select(_n.run_key, _n.name, _n.status, _n.started_at, _n.finished_at, _n.error)
                .where(_n.run_key.in_(keys), _n.kind == "step")
                .where(_n.started_at.is_not(None), _n.finished_at.is_not(None))
                .order_by(_n.idx)
            )
            return tuple(EndedStepRow(row[0], row[1], NodeStatus(row[2]), *row[3:]) for row in rows)
