"""The state of the system: health, metrics, schedulers, the load of the gateway's machine."""

from typing import Any

from pydantic import Field

from services.api.observability import dagu_metrics
from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.problems import unavailable
from services.api.readiness import schema_of, trouble
from services.api.representations import json_values
from services.api.requests import checked_values
from services.api.response_schemas.system import CoordinatorsSchema, HealthSchema, ResourcesSchema, SchedulersSchema
from shared.store.reads.reader import ServiceRow

__all__ = ["SYSTEM"]

SYSTEM = Operations()
_HOUR_S, _DAY_S = 3600.0, 86_400.0


class HistoryQuery(Query):
    duration: str = Field(default="1h", description="how far back, such as 30m or 24h")


@SYSTEM.get("/health", id="getHealthStatus", role="public", response=HealthSchema)
def health(call: Call) -> ApiResponse:
    """Return whether the gateway is healthy: the database answers and the broker accepts commands."""
    schema = schema_of(call.deps)
    why = trouble(call.deps, schema)
    body: dict[str, Any] = {
        "status": "unhealthy" if why else "healthy",
        "version": call.deps.version,
        "schemaRevision": None if schema is None else {"expected": schema.expected, "found": schema.found},
        "uptime": int(call.deps.uptime_s()),
        "timestamp": json_values.timestamp(call.now, call.deps.zone),
    }
    if not why:
        return ok(body)
    problem = unavailable(why)
    return ApiResponse(problem.status, {**body, "error": why, **problem.envelope}, headers=problem.headers)


@SYSTEM.get("/metrics", id="getMetrics", media_type="text/plain")
def get_metrics(call: Call) -> ApiResponse:
    """Return the metrics of runs and of this gateway in the text format of Prometheus."""
    return ApiResponse(200, dagu_metrics.render(call.deps, call.now), dagu_metrics.MEDIA_TYPE)


@SYSTEM.get("/services/scheduler", id="getSchedulerStatus", reach="server", response=SchedulersSchema)
def schedulers(call: Call) -> ApiResponse:
    """List the live schedulers. All of them are active: there is no leader."""
    found = call.deps.reads.schedulers(since=call.now - call.deps.service_alive)
    return ok({"schedulers": [_service(call, each) for each in found]})


@SYSTEM.get("/services/coordinator", id="getCoordinatorStatus", reach="server", response=CoordinatorsSchema)
def coordinators(_call: Call) -> ApiResponse:
    """Return an empty list of coordinators: Dagway has none, because the broker distributes the work."""
    return ok({"coordinators": []})


@SYSTEM.get("/services/resources/history", id="getResourceHistory", reach="server", response=ResourcesSchema)
def resource_history(call: Call, query: HistoryQuery) -> ApiResponse:
    """Return samples of CPU, memory, disk and load of the gateway's machine over ``duration``.

    A duration of more than a day counts as a day, an invalid duration as an hour.
    """
    asked_s = checked_values.duration(query.duration)
    span_s = _HOUR_S if asked_s is None else min(asked_s, _DAY_S)
    return ok(call.deps.resources.last(span_s))


def _service(call: Call, service: ServiceRow) -> dict[str, Any]:
    return {
        "instanceId": service.instance_id,
        "host": service.host,
        "status": "active",
        "startedAt": json_values.timestamp(service.started_at, call.deps.zone),
        "version": service.version,
    }
