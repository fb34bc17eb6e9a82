"""Worker pools: groups of workers that share a login at the broker and keys for their reports.

The ids of the workers of a pool begin with its name and a dash. All other workers are in the pool ``default``.
"""

from collections.abc import Iterable

__all__ = ["DEFAULT_POOL", "pool_of_key", "pool_of_worker"]

DEFAULT_POOL = "default"


def pool_of_key(key_id: str) -> str:
    """Return the pool in the id of a report key, such as ``gpu`` in ``gpu/2026-11``."""
    return key_id.partition("/")[0]


def pool_of_worker(worker_id: str, pools: Iterable[str]) -> str:
    """Return which of ``pools`` a worker is in. If several names fit its id, it is the longest one."""
    fitting = [pool for pool in pools if pool != DEFAULT_POOL and worker_id.startswith(f"{pool}-")]
    return max(fitting, key=len, default=DEFAULT_POOL)
