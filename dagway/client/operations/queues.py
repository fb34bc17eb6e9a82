"""The requests of operations: queues. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.base import RemovedSchema
from services.api.response_schemas.queues import QueueItemsSchema, QueueLimitSchema, QueueSchema, QueuesSchema

__all__ = ["get_queue", "list_queue_items", "list_queues", "remove_queue_limit", "set_queue_limit"]


def list_queues() -> ApiCall[QueuesSchema]:
    """List the queues with their running and queued runs."""
    return ApiCall("GET", "/queues", model(QueuesSchema))


def get_queue(name: str) -> ApiCall[QueueSchema]:
    """Return one queue of the list of queues: an operation of Dagu 2."""
    return ApiCall("GET", path_of("queues", name), model(QueueSchema))


def list_queue_items(name: str, *, limit: int | None = None, cursor: str | None = None) -> ApiCall[QueueItemsSchema]:
    """List the queued runs of a queue page by page, in the order of admission: an operation of Dagu 2."""
    return ApiCall(
        "GET", path_of("queues", name, "items"), model(QueueItemsSchema), query={"limit": limit, "cursor": cursor}
    )


def set_queue_limit(name: str, *, max_concurrency: int) -> ApiCall[QueueLimitSchema]:
    """Set how many runs of a queue are active at once, and make the queue global."""
    return ApiCall("PUT", path_of("queues", name), model(QueueLimitSchema), body={"maxConcurrency": max_concurrency})


def remove_queue_limit(name: str) -> ApiCall[RemovedSchema]:
    """Remove the limit of a global queue, which is then no longer global: its DAGs' ``maxActiveRuns`` apply again."""
    return ApiCall("DELETE", path_of("queues", name), model(RemovedSchema))
