"""The requests of operations: system. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model
from services.api.response_schemas.system import CoordinatorsSchema, HealthSchema, ResourcesSchema, SchedulersSchema

__all__ = ["get_coordinator_status", "get_health_status", "get_metrics", "get_resource_history", "get_scheduler_status"]


def get_health_status() -> ApiCall[HealthSchema]:
    """Return whether the gateway is healthy: the database answers and the broker accepts commands."""
    return ApiCall("GET", "/health", model(HealthSchema))


def get_metrics() -> ApiCall[str]:
    """Return the metrics of runs and of this gateway in the text format of Prometheus."""
    return ApiCall("GET", "/metrics", model(str), is_text=True)


def get_scheduler_status() -> ApiCall[SchedulersSchema]:
    """List the live schedulers."""
    return ApiCall("GET", "/services/scheduler", model(SchedulersSchema))


def get_coordinator_status() -> ApiCall[CoordinatorsSchema]:
    """Return an empty list of coordinators: Dagway has none, because the broker distributes the work."""
    return ApiCall("GET", "/services/coordinator", model(CoordinatorsSchema))


def get_resource_history(*, duration: str | None = None) -> ApiCall[ResourcesSchema]:
    """Return samples of CPU, memory, disk and load of the gateway's machine over ``duration``."""
    return ApiCall("GET", "/services/resources/history", model(ResourcesSchema), query={"duration": duration})
