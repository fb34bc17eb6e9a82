"""Reads for the overview: runs of the last hours, steps that wait for approval, and counts by status."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func, literal_column, or_, select, union_all

from shared.language.expansion.params_syntax import params_text
from shared.language.expansion.secret_params import show_params
from shared.status import RunStatus
from shared.store import tables as t
from shared.store.queries.matching import among
from shared.store.queries.runs import NEWEST_FIRST, RUNNING
from shared.store.reads.base import Reader
from shared.store.reads.rows import RunName

__all__ = ["ApprovalRow", "FailedStepRow", "OverviewReads", "PastRunRow"]

_r = t.dag_runs.c
_n = t.nodes.c
_WAITING: ColumnElement[str] = literal_column("'waiting'")
_FAILED: ColumnElement[str] = literal_column("'failed'")
_OF_WORKFLOW = ("step", "handler")
_MOST_STEPS = 500
"""Among how many steps of a run one that failed is sought."""
_MOST_ROOTS = 2000
"""Among how many active runs steps are sought that wait for approval."""
_LONGEST = timedelta(days=1)
"""A run that ended in the asked time may have been created so long before it."""


class PastRunRow(NamedTuple):
    """A root run as a bar of a timeline."""

    dag_name: str
    dag_run_id: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None


class ApprovalRow(NamedTuple):
    """A step that waits for approval. ``root`` and ``run`` differ if it is a step of a sub-run.

    ``params`` are those of ``run``, secrets masked with ``*``: a sub-run's as its caller gave them, which tells the
    items of a fan-out apart; a root run's as evaluated.
    """

    root: RunName
    run: RunName
    params: str
    step: str
    since: datetime | None


class FailedStepRow(NamedTuple):
    """A step or handler that failed, with what tells whether that was tolerated."""

    name: str
    kind: str
    exit_code: int | None
    output_matched: bool


class OverviewReads(Reader):
    """Reads for the overview."""

    def past_runs(self, since: datetime, *, limit: int) -> tuple[PastRunRow, ...]:
        """Return the newest root runs that have started and did not end before ``since``, newest first.

        Runs that were created more than a day before ``since`` are left out.
        """
        query = (
            select(_r.dag_name, _r.dag_run_id, _r.status, func.coalesce(_r.first_started_at, _r.started_at))
            .add_columns(_r.finished_at)
            .where(_r.root_key.is_(None), _r.created_at >= since - _LONGEST, _r.started_at.is_not(None))
            .where(or_(_r.finished_at.is_(None), _r.finished_at >= since), self._ours(_r.dag_name))
            .order_by(*NEWEST_FIRST)
            .limit(limit)
        )
        with self._statement() as connection:
            rows = connection.execute(query)
            return tuple(PastRunRow(row[0], row[1], RunStatus(row[2]), row[3], row[4]) for row in rows)

    def ended_counts(self, since: datetime) -> dict[RunStatus, int]:
        """Return, by status, how many root runs have ended since ``since``, without those that ``past_runs`` omits."""
        query = (
            select(_r.status, func.count().label("runs"))
            .where(_r.root_key.is_(None), _r.created_at >= since - _LONGEST, _r.finished_at >= since)
            .where(self._ours(_r.dag_name))
            .group_by(_r.status)
        )
        with self._statement() as connection:
            found = {RunStatus(row.status): int(row.runs) for row in connection.execute(query)}
        return {status: count for status, count in found.items() if not status.active}

    def failed_steps(self, run_keys: Sequence[str]) -> dict[str, list[FailedStepRow]]:
        """Return, by key of the run, the failed steps and handlers among the first 500 of each run, in their order."""
        query = (
            select(_n.run_key, _n.name, _n.kind, _n.exit_code, _n.output_matched)
            .where(_n.run_key.in_(run_keys), _n.idx < _MOST_STEPS, _n.kind.in_(_OF_WORKFLOW), _n.status == _FAILED)
            .order_by(_n.run_key, _n.idx)
        )
        found: dict[str, list[FailedStepRow]] = {}
        with self._statement() as connection:
            for run_key, *row in connection.execute(query):
                found.setdefault(run_key, []).append(FailedStepRow(*row))
        return found

    def waiting_steps(self, *, limit: int) -> tuple[ApprovalRow, ...]:
        """Return the steps that wait for approval, those of the newest runs first."""
        roots = (
            select(_r.run_key, _r.dag_name, _r.dag_run_id, _r.created_at, _r.params, _r.parent_params)
            .where(_r.root_key.is_(None), _r.status.in_((_WAITING, RUNNING)), self._ours(_r.dag_name))
            .order_by(*NEWEST_FIRST)
            .limit(_MOST_ROOTS)
            .subquery()
        )
        own, c = t.dag_runs.alias("own"), roots.c
        below = and_(
            own.c.root_key == c.run_key,
            # The same again, as keys to look up. Otherwise Postgres reads the sub-runs of the whole history if many
            # runs are active.
            among(own.c.root_key, select(c.run_key).scalar_subquery()),
            own.c.status.in_((_WAITING, RUNNING)),
        )
        # Two parts: if one join had both conditions, Postgres would read the runs of the whole history.
        family = union_all(
            select(
                c.dag_name, c.dag_run_id, c.dag_name.label("own_name"), c.dag_run_id.label("own_id"), c.run_key
            ).add_columns(c.created_at, c.params, c.parent_params),
            select(c.dag_name, c.dag_run_id, own.c.dag_name, own.c.dag_run_id, own.c.run_key, own.c.created_at)
            .add_columns(own.c.params, own.c.parent_params)
            .select_from(roots.join(own, below)),
        ).subquery()
        f = family.c
        query = (
            select(f.dag_name, f.dag_run_id, f.own_name, f.own_id, _n.name, _n.started_at, f.params, f.parent_params)
            .select_from(family.join(t.nodes, and_(_n.run_key == f.run_key, _n.status == _WAITING)))
            # A step that called a run waits because that run does.
            .where(_n.call_token == "")
            .order_by(f.created_at.desc(), f.run_key, _n.idx)
            .limit(limit)
        )
        with self._statement() as connection:
            return tuple(
                ApprovalRow(RunName(*row[0:2]), RunName(*row[2:4]), _params(*row[6:8]), *row[4:6])
                for row in connection.execute(query)
            )


def _params(params: list[tuple[str, str]] | None, asked_as: str | None) -> str:
    return (
        params_text(show_params(tuple((name, value) for name, value in params or ()), ""))
        if asked_as is None
        else asked_as
    )
