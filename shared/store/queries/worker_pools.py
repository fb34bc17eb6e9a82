"""Reservations of worker pools, as readers and writers need them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from shared.store import tables as t

__all__ = ["RESERVED", "gathered"]

RESERVED = select(t.reserved_worker_pools.c.pool, t.reserved_worker_pools.c.workspace)
"""The rows of all reservations, for ``gathered``."""


def gathered(rows: Iterable[Any]) -> dict[str, frozenset[str]]:
    """Return the workspaces of each pool, from rows of a pool and a workspace."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for pool, workspace in rows:
        found[pool].add(workspace)
    return {pool: frozenset(workspaces) for pool, workspaces in found.items()}
