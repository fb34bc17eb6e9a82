"""Worker pools: groups of workers that share a login at the broker and keys for their reports.

The ids of the workers of a pool begin with its name and a dash. All other workers are in the default pool.
"""

from collections.abc import Collection

__all__ = ["DEFAULT_WORKER_POOL", "pool_of_key", "pool_of_worker"]

DEFAULT_WORKER_POOL = "default"


def pool_of_key(key_id: str) -> str:
    """Return the pool in the id of a report key, such as ``gpu`` in ``gpu/2026-11``."""
    return key_id.partition("/")[0]


def pool_of_worker(worker_id: str, pools: Collection[str]) -> str:
    """Return which of ``pools`` a worker is in. The name of a pool has no dash."""
    name, dash, _ = worker_id.partition("-")
    return name if dash and name in pools else DEFAULT_WORKER_POOL
