"""Which runs are queued, running, root runs, and which run of a DAG is its newest."""

from sqlalchemy import ColumnElement, FromClause, ScalarSelect, func, literal_column, select

from shared.store import tables as t
from shared.store.engine import bytewise

__all__ = ["BY_DAG", "IS_ROOT", "NEWEST_FIRST", "QUEUED", "RUNNING", "newest_key"]

RUNNING: ColumnElement[str] = literal_column("'running'")
QUEUED: ColumnElement[str] = literal_column("'queued'")
"""Literals, because SQLite does not use a partial index for a bound parameter."""

BY_DAG = t.dag_runs.c.dag_name.concat("")
IS_ROOT = func.coalesce(t.dag_runs.c.root_key, "") == ""
"""The name and ``root_key IS NULL``, written so that no index of all runs fits. Where only running or queued
runs are wanted, SQLite would otherwise walk the whole history instead of the small index of those."""


def _newest_first(runs: FromClause) -> tuple[ColumnElement[object], ColumnElement[str]]:
    return runs.c.created_at.desc(), bytewise(runs.c.dag_run_id)


NEWEST_FIRST = _newest_first(t.dag_runs)
"""The one order of a DAG's runs. Runs started in one batch share ``created_at``; the smaller id, by code point
and whatever the server's collation, counts as the newer one."""

_other = t.dag_runs.alias("other")


def newest_key(dag_name: ColumnElement[str]) -> ScalarSelect[str]:
    """Select the key of a DAG's newest root run: one step into an index, however long its history."""
    newest = select(_other.c.run_key).where(_other.c.dag_name == dag_name, _other.c.root_key.is_(None))
    return newest.order_by(*_newest_first(_other)).limit(1).scalar_subquery()
