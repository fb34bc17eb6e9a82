"""Worker pools: groups of workers that share a login at the broker and keys for their reports.

The ids of the workers of a pool begin with its name and a dash. All other workers are in the default pool.
"""

import re
from collections.abc import Collection

__all__ = ["DEFAULT_WORKER_POOL", "WORKER_POOL_RULE", "pool_of_key", "pool_of_worker", "valid_worker_pool"]

DEFAULT_WORKER_POOL = "default"
WORKER_POOL_RULE = "1 to 40 lower-case letters, digits or underscores"
"""The rule of ``valid_worker_pool`` in words, for error messages."""
_NAME = re.compile(r"[a-z0-9_]{1,40}")


def valid_worker_pool(name: str) -> bool:
    """Return whether ``name`` may be the name of a worker pool."""
    return bool(_NAME.fullmatch(name))


def pool_of_key(key_id: str) -> str:
    """Return the pool in the id of a report key, such as ``gpu`` in ``gpu/2026-11``."""
    return key_id.partition("/")[0]


def pool_of_worker(worker_id: str, pools: Collection[str]) -> str:
    """Return which of ``pools`` a worker is in. The name of a pool has no dash."""
    name, dash, _ = worker_id.partition("-")
    return name if dash and name in pools else DEFAULT_WORKER_POOL
