"""The requests of operations: pools. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.base import RemovedSchema
from services.api.response_schemas.pools import PoolCapacitySchema, PoolsSchema

__all__ = ["list_pools", "remove_pool", "set_pool_capacity"]


def list_pools() -> ApiCall[PoolsSchema]:
    """List the pools, locks and rate limits that are configured or in use, with the steps that hold or want a place."""
    return ApiCall("GET", "/pools", model(PoolsSchema))


def set_pool_capacity(name: str, *, capacity: int) -> ApiCall[PoolCapacitySchema]:
    """Set the capacity of a pool."""
    return ApiCall("PUT", path_of("pools", name), model(PoolCapacitySchema), body={"capacity": capacity})


def remove_pool(name: str) -> ApiCall[RemovedSchema]:
    """Remove the configured capacity of a pool."""
    return ApiCall("DELETE", path_of("pools", name), model(RemovedSchema))
