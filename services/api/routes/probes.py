"""What lives beside the API: liveness and readiness."""

from services.api.operations import Answer, Call, Operations, ok
from services.api.problems import UNAVAILABLE
from shared.errors import StoreUnavailable

__all__ = ["PROBES", "trouble"]

_ROUTES = Operations()
PROBES = _ROUTES.all


def trouble(call: Call) -> str:
    """Return what keeps the gateway from its work, empty when nothing does."""
    try:
        call.deps.reads.ping()
    except StoreUnavailable:
        return "the database does not answer"
    if not call.deps.transport.healthy:
        return "the message broker is away or blocks publishers"
    return ""


@_ROUTES.get("/healthz", id="getLiveness", role="public")
def alive(_call: Call) -> Answer:
    """Answer as long as the process can; asks nobody, so that an outage restarts nothing."""
    return ok({"status": "alive"})


@_ROUTES.get("/readyz", id="getReadiness", role="public")
def ready(call: Call) -> Answer:
    """Tell whether requests should be sent here: the database answers, the broker takes commands."""
    why = trouble(call)
    return Answer(UNAVAILABLE, {"status": "unready", "error": why}) if why else ok({"status": "ready"})
