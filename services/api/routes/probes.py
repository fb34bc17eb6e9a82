"""What lives beside the API: liveness and readiness."""

from services.api.deps import Deps
from services.api.operations import Answer, Call, Operations, ok
from services.api.problems import UNAVAILABLE
from shared.errors import StoreUnavailable
from shared.store.reads.reader import SchemaRevision

__all__ = ["PROBES", "schema_of", "trouble"]

_ROUTES = Operations()
PROBES = _ROUTES.all


def schema_of(deps: Deps) -> SchemaRevision | None:
    """Return the schema's revisions; ``None``: the database does not answer."""
    try:
        return deps.reads.schema()
    except StoreUnavailable:
        return None


def trouble(deps: Deps, schema: SchemaRevision | None) -> str:
    """Return what keeps the gateway from its work, empty when nothing does."""
    if schema is None:
        return "the database does not answer"
    if not schema.serves:
        return f"the database's schema is at {schema.found or 'nothing'}, this version needs {schema.expected}"
    if not deps.transport.healthy:
        return "the message broker is away or blocks publishers"
    return deps.own_trouble()


@_ROUTES.get("/healthz", id="getLiveness", role="public")
def alive(_call: Call) -> Answer:
    """Answer as long as the process can; asks nobody, so that an outage restarts nothing."""
    return ok({"status": "alive"})


@_ROUTES.get("/readyz", id="getReadiness", role="public")
def ready(call: Call) -> Answer:
    """Tell whether requests should be sent here: the database answers, the broker takes commands."""
    why = trouble(call.deps, schema_of(call.deps))
    return Answer(UNAVAILABLE, {"status": "unready", "error": why}) if why else ok({"status": "ready"})
