"""Conditions of queued, running and root runs, the order of a DAG's runs, and its newest run."""

from sqlalchemy import ColumnElement, FromClause, ScalarSelect, func, literal_column, select

from shared.store import tables as t
from shared.store.functions import bytewise

__all__ = [
    "ALL_NEWEST_FIRST",
    "ALL_OLDEST_FIRST",
    "BY_DAG",
    "HAS_LONG_ID",
    "IS_ROOT",
    "NEWEST_FIRST",
    "OF_DAG_NEWEST_FIRST",
    "QUEUED",
    "REMOVED",
    "RUNNING",
    "USUAL_ID",
    "newest_key",
    "not_removed",
    "of_dag",
]

RUNNING: ColumnElement[str] = literal_column("'running'")
QUEUED: ColumnElement[str] = literal_column("'queued'")
"""``RUNNING`` and ``QUEUED`` are literals, because SQLite does not use a partial index for a bound parameter."""

REMOVED = "removed"
"""The ``root_key`` of root runs that are removed, while the rows of their many sub-runs are deleted piece by piece.

They are no root runs any more, so whoever reads runs by name, or in lists, does not find them.
"""

USUAL_ID = 36
"""The length of the run ids that Dagway makes itself."""
HAS_LONG_ID = func.length(t.dag_runs.c.dag_run_id) > literal_column(str(USUAL_ID))
"""The condition of a partial index, as it is written there."""

BY_DAG = t.dag_runs.c.dag_name.concat("")
IS_ROOT = func.coalesce(t.dag_runs.c.root_key, "") == ""
"""The column ``dag_name`` and the condition ``root_key IS NULL``, written so that no index over all runs matches.

Use them in queries for running or queued runs only: otherwise SQLite would scan the index of the whole history
instead of the small index of running or queued runs.
"""


def not_removed(runs: FromClause, root: FromClause) -> ColumnElement[bool]:
    """Return the condition that a run is not removed. ``root`` is outer joined by its ``root_key``."""
    return func.coalesce(root.c.root_key, runs.c.root_key, "") != REMOVED


def _newest_first(runs: FromClause) -> tuple[ColumnElement[object], ColumnElement[str]]:
    return runs.c.created_at.desc(), bytewise(runs.c.dag_run_id)


NEWEST_FIRST = _newest_first(t.dag_runs)
"""The order of a DAG's runs, newest first. Runs started in one batch have the same ``created_at``: then the run with
the smaller id, compared by code point, counts as newer."""

ALL_NEWEST_FIRST = (*NEWEST_FIRST, bytewise(t.dag_runs.c.run_key))
"""The order of the runs of all DAGs: those of a batch may even have the same id, if clients choose it. The indexes of
``NEWEST_FIRST`` serve it, because only runs that are equal in these two columns are sorted."""

ALL_OLDEST_FIRST = (
    t.dag_runs.c.created_at,
    bytewise(t.dag_runs.c.dag_run_id).desc(),
    bytewise(t.dag_runs.c.run_key).desc(),
)
"""``ALL_NEWEST_FIRST`` turned round, so that the same indexes serve it."""

OF_DAG_NEWEST_FIRST = (t.dag_runs.c.dag_name, *NEWEST_FIRST)
"""The order for the condition ``of_dag``."""


def of_dag(dag_name: ColumnElement[str] | str, runs: FromClause = t.dag_runs) -> ColumnElement[bool]:
    """Return the condition on the root runs of one DAG, for lists that are ordered by ``dag_name`` before all else.

    It is a range, so that only the index of the DAG's root runs has the order. Otherwise Postgres may walk over the
    runs of all DAGs: of one that has very many sub-runs, it expects to meet many root runs there.
    """
    return runs.c.dag_name.between(dag_name, dag_name)


_other = t.dag_runs.alias("other")


def newest_key(dag_name: ColumnElement[str]) -> ScalarSelect[str]:
    """Select the key of a DAG's newest root run. Reads one index entry, even if the DAG has many runs."""
    newest = select(_other.c.run_key).where(of_dag(dag_name, _other), _other.c.root_key.is_(None))
    newest = newest.order_by(_other.c.dag_name, *_newest_first(_other))
    # A literal: for a parameter, Postgres assumes that many rows are wanted, and plans a prepared statement each time.
    return newest.limit(literal_column("1")).scalar_subquery()
