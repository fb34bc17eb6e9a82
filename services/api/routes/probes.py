"""Liveness and readiness probes, outside ``/api/v2``."""

from services.api.operations import ApiResponse, Call, Operations, ok
from services.api.problems import UNAVAILABLE
from services.api.readiness import schema_of, trouble

__all__ = ["PROBES"]

_ROUTES = Operations()
PROBES = _ROUTES.all


@_ROUTES.get("/healthz", id="getLiveness", role="public")
def alive(_call: Call) -> ApiResponse:
    """Liveness probe: answer while the process runs.

    Does not check the broker or the database, so their outage does not make Kubernetes restart the gateway.
    """
    return ok({"status": "alive"})


@_ROUTES.get("/readyz", id="getReadiness", role="public")
def ready(call: Call) -> ApiResponse:
    """Readiness probe: return 200 while the database answers and the broker accepts commands, otherwise 503."""
    why = trouble(call.deps, schema_of(call.deps))
    return ApiResponse(UNAVAILABLE, {"status": "unready", "error": why}) if why else ok({"status": "ready"})
