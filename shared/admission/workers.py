"""Decides which workers satisfy a worker selector, and which workspaces a worker pool serves.

Every worker is in one worker pool. The workers of a pool share a login at the broker, which lets them take the tasks of
their pool and no others. A selector names a pool with the label ``worker-pool``; without it, it means the default pool.

So every selector means exactly one pool, and the workers of other pools take none of its tasks, whatever their labels
are. A pool can be reserved for some workspaces: then runs of others may not send tasks with a selector that means it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.contracts.worker_pools import DEFAULT_WORKER_POOL, WORKER_POOL_RULE, valid_worker_pool

__all__ = ["WORKER_POOL", "NotServed", "not_served", "satisfies", "worker_pool"]

WORKER_POOL = "worker-pool"
"""The label that names a worker pool, in selectors and in the labels of workers."""


def worker_pool(labels: Mapping[str, str]) -> str:
    """Return the worker pool that the labels of a worker or a worker selector name."""
    return labels.get(WORKER_POOL, DEFAULT_WORKER_POOL)


def satisfies(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Return whether a worker with ``labels`` may run steps with the worker selector ``selector``."""
    if worker_pool(labels) != worker_pool(selector):
        return False
    return all(labels.get(key) == value for key, value in selector.items() if key != WORKER_POOL)


@dataclass(frozen=True, slots=True)
class NotServed:
    """The obstacle that the worker pool of a run serves only other workspaces, or cannot exist."""

    pool: str

    def __str__(self) -> str:
        if not valid_worker_pool(self.pool):
            return f"{self.pool[:80]!r} is not the name of a worker pool: expected {WORKER_POOL_RULE}"
        return f"the worker pool {self.pool} does not serve this workspace"


def not_served(selector: Mapping[str, str], workspace: str, reserved: Mapping[str, frozenset[str]]) -> NotServed | None:
    """Return an obstacle if the worker pool that ``selector`` means does not serve ``workspace``, else ``None``.

    ``reserved``: the workspaces that each reserved pool serves. A pool that is not reserved serves all. What cannot be
    the name of a pool serves none: with a dot in it, the broker queue could be one of another pool.
    """
    pool = worker_pool(selector)
    if not valid_worker_pool(pool):
        return NotServed(pool)
    served = reserved.get(pool)
    return NotServed(pool) if served is not None and workspace not in served else None
