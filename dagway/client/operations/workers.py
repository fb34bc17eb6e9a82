"""The requests of operations: workers. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.workers import DrainedSchema, WorkersSchema

__all__ = ["drain_worker", "get_workers", "resume_worker"]


def get_workers() -> ApiCall[WorkersSchema]:
    """List the workers that sent a heartbeat within the last hour, with the attempts that they run."""
    return ApiCall("GET", "/workers", model(WorkersSchema))


def drain_worker(worker_id: str, *, reason: str | None = None) -> ApiCall[DrainedSchema]:
    """Give a worker no new runs."""
    return ApiCall("POST", path_of("workers", worker_id, "drain"), model(DrainedSchema), body={"reason": reason})


def resume_worker(worker_id: str) -> ApiCall[DrainedSchema]:
    """Give a drained worker new runs again."""
    return ApiCall("POST", path_of("workers", worker_id, "resume"), model(DrainedSchema))
