"""Pools' capacities: by command, and by configuration at start."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.scheduler.deciding.batch import Batch
from shared.admission.pools import POOL, PoolKey
from shared.contracts.commands.queues import RemovePool, SetPool
from shared.errors import InvalidInput, NotFound
from shared.language.steps.pools import POOL_NAME_RULE, valid_pool_name
from shared.store.writes.transaction import Transaction

__all__ = ["carry_out_pool", "take_over_pools"]


def carry_out_pool(batch: Batch, command: SetPool | RemovePool) -> dict[str, Any]:
    """Carry out one of these commands within ``batch``'s transaction."""
    rows = batch.tx.pools
    batch.after.pools.add(PoolKey(POOL, command.name))
    if isinstance(command, RemovePool):
        if not rows.remove(command.name):
            raise NotFound(f"there is no pool {command.name}")
        return {}
    if not valid_pool_name(command.name):
        raise InvalidInput(f"name: {command.name[:80]!r} must be {POOL_NAME_RULE}")
    known = rows.known().get(command.name)
    rows.put(_row(command.name, command.capacity, known["configured"] if known else None, batch.now, command.by))
    return {"name": command.name, "capacity": command.capacity}


def _row(name: str, capacity: int, configured: int | None, now: datetime, by: str) -> dict[str, Any]:
    return {"name": name, "capacity": capacity, "configured": configured, "updated_at": now, "by": by}


def take_over_pools(tx: Transaction, pools: Mapping[str, int], now: datetime) -> None:
    """Give the configured pools their capacity; one changed by API stays until the configuration changes."""
    rows = tx.pools
    known = rows.known()
    for name, capacity in sorted(pools.items()):
        if name not in known or known[name]["configured"] != capacity:
            rows.put(_row(name, capacity, capacity, now, "configuration"))
    for name, row in sorted(known.items()):
        if row["configured"] is None or name in pools:
            continue
        if row["by"] == "configuration":
            rows.remove(name)
        else:
            rows.put(_row(name, row["capacity"], None, now, row["by"]))
