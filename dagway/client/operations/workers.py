"""The requests of operations: workers. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.system import DrainedSchema

__all__ = ["drain_worker", "resume_worker"]


def drain_worker(worker_id: str, *, reason: str | None = None) -> ApiCall[DrainedSchema]:
    """Give a worker no new runs."""
    return ApiCall("POST", path_of("workers", worker_id, "drain"), model(DrainedSchema), body={"reason": reason})


def resume_worker(worker_id: str) -> ApiCall[DrainedSchema]:
    """Give a drained worker new runs again."""
    return ApiCall("POST", path_of("workers", worker_id, "resume"), model(DrainedSchema))
