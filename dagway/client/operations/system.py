"""The requests of operations: system. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.queues import QueueItemsSchema, QueueSchema, QueuesSchema
from services.api.response_schemas.system import (
    CoordinatorsSchema,
    HealthSchema,
    ResourcesSchema,
    SchedulersSchema,
    WorkersSchema,
)

__all__ = [
    "get_coordinator_status",
    "get_health_status",
    "get_metrics",
    "get_queue",
    "get_resource_history",
    "get_scheduler_status",
    "get_workers",
    "list_queue_items",
    "list_queues",
]


def get_health_status() -> ApiCall[HealthSchema]:
    """Return whether the gateway is healthy: the database answers and the broker accepts commands."""
    return ApiCall("GET", "/health", model(HealthSchema))


def get_metrics() -> ApiCall[str]:
    """Return the metrics of runs and of this gateway in the text format of Prometheus."""
    return ApiCall("GET", "/metrics", model(str), is_text=True)


def get_workers() -> ApiCall[WorkersSchema]:
    """List the workers that sent a heartbeat within the last hour, with the attempts that they run."""
    return ApiCall("GET", "/workers", model(WorkersSchema))


def get_scheduler_status() -> ApiCall[SchedulersSchema]:
    """List the live schedulers."""
    return ApiCall("GET", "/services/scheduler", model(SchedulersSchema))


def get_coordinator_status() -> ApiCall[CoordinatorsSchema]:
    """Return an empty list of coordinators: Dagway has none, because the broker distributes the work."""
    return ApiCall("GET", "/services/coordinator", model(CoordinatorsSchema))


def get_resource_history(*, duration: str | None = None) -> ApiCall[ResourcesSchema]:
    """Return samples of CPU, memory, disk and load of the gateway's machine over ``duration``."""
    return ApiCall("GET", "/services/resources/history", model(ResourcesSchema), query={"duration": duration})


def list_queues() -> ApiCall[QueuesSchema]:
    """List the queues with their running and queued runs."""
    return ApiCall("GET", "/queues", model(QueuesSchema))


def get_queue(name: str) -> ApiCall[QueueSchema]:
    """Return one queue of the list of queues: an operation of Dagu 2."""
    return ApiCall("GET", path_of("queues", name), model(QueueSchema))


def list_queue_items(name: str, *, limit: int | None = None, cursor: str | None = None) -> ApiCall[QueueItemsSchema]:
    """List the queued runs of a queue page by page, in the order in which they will start: an operation of Dagu 2."""
    return ApiCall(
        "GET", path_of("queues", name, "items"), model(QueueItemsSchema), query={"limit": limit, "cursor": cursor}
    )
