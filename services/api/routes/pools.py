"""Pools, locks and rate limits: additions to Dagu's API."""

from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Body, Call, Operations, ok
from services.api.representations import json_values
from services.api.requests import checked_values
from services.api.response_schemas.base import RemovedSchema
from services.api.response_schemas.pools import PoolCapacitySchema, PoolsSchema
from shared.contracts.commands.pools import RemovePool, SetPool
from shared.store.reads.reader import PoolRow, PoolUserRow

__all__ = ["POOLS"]

POOLS = Operations()


class PoolBody(Body):
    capacity: int = Field(ge=1, le=1_000_000)


@POOLS.get("/pools", id="listPools", response=PoolsSchema)
def pools(call: Call) -> ApiResponse:
    """List the pools, locks and rate limits that are configured or in use, with the steps that hold or want a place."""
    return ok({"pools": [_shown(call, each) for _, each in sorted(call.deps.reads.pools(call.now).items())]})


@POOLS.put("/pools/{name}", id="setPoolCapacity", role="manager", permission="run_dags", response=PoolCapacitySchema)
def set_capacity(call: Call, body: PoolBody, name: str) -> ApiResponse:
    """Set the capacity of a pool. Steps that hold a place keep it, even beyond a smaller capacity."""
    pool = checked_values.any_name(name, "name")
    command = SetPool(by=call.user, name=pool, capacity=body.capacity)
    return call.carry_out(command, then={"name": pool, "capacity": body.capacity})


@POOLS.delete("/pools/{name}", id="removePool", role="manager", permission="run_dags", response=RemovedSchema)
def remove(call: Call, name: str) -> ApiResponse:
    """Remove the configured capacity of a pool. The capacity is then 1."""
    return call.carry_out(RemovePool(by=call.user, name=checked_values.any_name(name, "name")), then={})


def _shown(call: Call, pool: PoolRow) -> dict[str, Any]:
    return {
        "kind": pool.kind,
        "name": pool.name,
        **({"capacity": pool.capacity} if pool.capacity else {}),
        **({"intervalSec": pool.interval_s} if pool.interval_s else {}),
        "taken": pool.taken,
        "waiting": pool.waiting_count,
        "users": [_user(call, each) for each in pool.users],
        "waiters": [_user(call, each) for each in pool.waiting],
    }


def _user(call: Call, user: PoolUserRow) -> dict[str, Any]:
    return {
        "name": user.dag_name,
        "dagRunId": user.dag_run_id,
        "step": user.step,
        "since": json_values.timestamp(user.since, call.deps.zone),
        **({"until": json_values.timestamp(user.until, call.deps.zone)} if user.until else {}),
    }
