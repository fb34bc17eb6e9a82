"""Liveness and readiness, beside the API."""

from services.api.operations import ApiResponse, Call, Operations, ok
from services.api.problems import UNAVAILABLE
from services.api.readiness import schema_of, trouble

__all__ = ["PROBES"]

_ROUTES = Operations()
PROBES = _ROUTES.all


@_ROUTES.get("/healthz", id="getLiveness", role="public")
def alive(_call: Call) -> ApiResponse:
    """Answer while the process runs; check no other service, so that an outage restarts nothing."""
    return ok({"status": "alive"})


@_ROUTES.get("/readyz", id="getReadiness", role="public")
def ready(call: Call) -> ApiResponse:
    """Return whether the gateway can take requests: the database answers, the broker takes commands."""
    why = trouble(call.deps, schema_of(call.deps))
    return ApiResponse(UNAVAILABLE, {"status": "unready", "error": why}) if why else ok({"status": "ready"})
