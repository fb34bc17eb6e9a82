"""Decides which workers satisfy a worker selector.

Every worker is in one worker pool. The workers of a pool share a login at the broker, which lets them take the tasks of
their pool and no others. A selector names a pool with the label ``worker-pool``; without it, it means the default pool.
"""

from collections.abc import Mapping

from shared.contracts.worker_pools import DEFAULT_WORKER_POOL

__all__ = ["WORKER_POOL", "satisfies", "worker_pool"]

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
