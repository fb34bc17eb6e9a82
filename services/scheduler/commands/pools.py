"""Handlers of the commands about pools, and the capacities of pools in the configuration."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.admission.pools import POOL, PoolKey
from shared.contracts import commands as c
from shared.errors import InvalidInput, NotFound
from shared.language.steps.pools import MOST_POOL_CHARS, POOL_NAME_RULE, valid_pool_name
from shared.store.writes.transaction import Transaction
from shared.workspaces import check_length, plain_name

__all__ = ["HANDLERS", "apply_configured_pools"]


def _set_pool(batch: Batch, command: c.SetPool) -> dict[str, Any]:
    rows = batch.tx.pools
    if not valid_pool_name(plain_name(command.name)):
        raise InvalidInput(f"name: {command.name[:80]!r} must be {POOL_NAME_RULE}")
    check_length(command.name, MOST_POOL_CHARS, "name")
    known = rows.known().get(command.name)
    rows.put(_row(command.name, command.capacity, known["configured"] if known else None, batch.now, command.by))
    batch.after.pools.add(PoolKey(POOL, command.name))
    return {"name": command.name, "capacity": command.capacity}


def _remove_pool(batch: Batch, command: c.RemovePool) -> dict[str, Any]:
    rows = batch.tx.pools
    if not rows.remove(command.name):
        raise NotFound(f"Pool {command.name!r} has no configured capacity")
    batch.after.pools.add(PoolKey(POOL, command.name))
    return {}


def _row(name: str, capacity: int, configured: int | None, now: datetime, by: str) -> dict[str, Any]:
    return {"name": name, "capacity": capacity, "configured": configured, "updated_at": now, "by": by}


def apply_configured_pools(tx: Transaction, pools: Mapping[str, int], now: datetime) -> None:
    """Set the capacities of the configured pools.

    A capacity that was set by a command stays until the configured capacity of the pool changes.
    """
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


HANDLERS: Handlers = {
    c.SetPool: _set_pool,
    c.RemovePool: _remove_pool,
}
