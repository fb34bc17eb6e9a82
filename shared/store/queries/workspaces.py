"""What counts towards the quotas of a workspace, and which worker pools are reserved for workspaces."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from shared.store import tables as t
from shared.store.functions import workspace_prefix
from shared.workspaces import name_prefix

__all__ = ["RESERVED", "count_dags", "count_runs", "gathered"]

RESERVED = select(t.reserved_worker_pools.c.pool, t.reserved_worker_pools.c.workspace)
"""The rows of all reservations, for ``gathered``."""


def count_runs(workspace: str, status: ColumnElement[str]) -> Select[int]:
    """Count the root runs of a workspace with a status: a condition that a partial index serves."""
    r = t.dag_runs.c
    mine = (r.status == status, r.root_key.is_(None), workspace_prefix(r.queue) == name_prefix(workspace))
    return select(func.count()).select_from(t.dag_runs).where(*mine)


def count_dags(workspace: str) -> Select[int]:
    """Count the DAGs of a workspace."""
    mine = workspace_prefix(t.dags.c.file_name) == name_prefix(workspace)
    return select(func.count()).select_from(t.dags).where(mine)


def gathered(rows: Iterable[Any]) -> dict[str, frozenset[str]]:
    """Return the workspaces of each pool, from rows of a pool and a workspace."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for pool, workspace in rows:
        found[pool].add(workspace)
    return {pool: frozenset(workspaces) for pool, workspaces in found.items()}
