"""What lives beside the API: liveness, readiness, and a word for whoever opens the address."""

from services.api.operations import Answer, Call, Operations, ok, text
from services.api.problems import UNAVAILABLE
from shared.errors import StoreUnavailable

__all__ = ["PROBES", "trouble"]

_ROUTES = Operations()
PROBES = _ROUTES.all
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Dagway</title></head>
<body><h1>Dagway</h1>
<p>A distributed workflow orchestrator. This is its API gateway, version {version}.</p>
<ul>
<li><a href="{base}/api/v2/health">{base}/api/v2/health</a>: whether it works</li>
<li><a href="{base}/api/v2/dags">{base}/api/v2/dags</a>: the workflows it knows</li>
<li><a href="{base}/api/v2/dag-runs">{base}/api/v2/dag-runs</a>: what ran</li>
<li><a href="{base}/api/v2/metrics">{base}/api/v2/metrics</a>: figures for Prometheus</li>
</ul></body></html>
"""


def trouble(call: Call) -> str:
    """Return what keeps the gateway from its work, empty when nothing does."""
    try:
        call.deps.reads.ping()
    except StoreUnavailable:
        return "the database does not answer"
    if not call.deps.transport.healthy:
        return "the message broker is away or blocks publishers"
    return ""


@_ROUTES.get("/", id="getIndex", role="public")
def index(call: Call) -> Answer:
    """Say what this is and where to go."""
    page = _PAGE.format(version=call.deps.version, base=call.deps.base_path)
    return text(page.encode(), "text/html; charset=utf-8")


@_ROUTES.get("/healthz", id="getLiveness", role="public")
def alive(_call: Call) -> Answer:
    """Answer as long as the process can; asks nobody, so that an outage restarts nothing."""
    return ok({"status": "alive"})


@_ROUTES.get("/readyz", id="getReadiness", role="public")
def ready(call: Call) -> Answer:
    """Tell whether requests should be sent here: the database answers, the broker takes commands."""
    why = trouble(call)
    return Answer(UNAVAILABLE, {"status": "unready", "error": why}) if why else ok({"status": "ready"})
