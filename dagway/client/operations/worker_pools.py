"""The requests of operations: worker pools. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, no_content, path_of
from services.api.response_schemas.worker_pools import ReservedPoolSchema, ReservedPoolsSchema

__all__ = ["list_worker_pools", "release_worker_pool", "reserve_worker_pool"]


def list_worker_pools() -> ApiCall[ReservedPoolsSchema]:
    """List the worker pools that are reserved for some workspaces."""
    return ApiCall("GET", "/worker-pools", model(ReservedPoolsSchema))


def reserve_worker_pool(name: str, *, workspaces: list[str]) -> ApiCall[ReservedPoolSchema]:
    """Let a worker pool serve these workspaces only."""
    return ApiCall("PUT", path_of("worker-pools", name), model(ReservedPoolSchema), body={"workspaces": workspaces})


def release_worker_pool(name: str) -> ApiCall[None]:
    """End the reservation of a worker pool: it serves all workspaces again."""
    return ApiCall("DELETE", path_of("worker-pools", name), no_content)
