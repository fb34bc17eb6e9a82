"""Liveness and readiness probes, outside ``/api/v2``."""

from services.api.operations import ApiResponse, Call, Operations, ok
from services.api.problems import UNAVAILABLE
from services.api.readiness import schema_of, unready

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
    """Readiness probe: return 200 while the gateway can answer reads, otherwise 503.

    After its start, a gateway becomes ready when it has reached the broker. It stays ready while the broker is
    unavailable: reads go on, and writes get 503 with Retry-After. `GET /health` says whether the broker accepts
    commands.
    """
    why = unready(call.deps, schema_of(call.deps))
    call.deps.readiness_log.note(why)
    return ApiResponse(UNAVAILABLE, {"status": "unready", "error": why}) if why else ok({"status": "ready"})
