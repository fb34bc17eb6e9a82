"""Reservations of worker pools, as readers and writers need them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

__all__ = ["gathered"]


def gathered(rows: Iterable[Any]) -> dict[str, frozenset[str]]:
    """Return the workspaces of each pool, from rows of a pool and a workspace."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for pool, workspace in rows:
        found[pool].add(workspace)
    return {pool: frozenset(workspaces) for pool, workspaces in found.items()}
