"""Whether the gateway can do its work: its database has the right schema and the broker takes commands."""

from services.api.deps import Deps
from shared.errors import StoreUnavailable
from shared.store.reads.reader import SchemaRevision

__all__ = ["schema_of", "trouble"]


def schema_of(deps: Deps) -> SchemaRevision | None:
    """Return the revisions of the database's schema, ``None`` if the database does not answer."""
    try:
        return deps.reads.schema()
    except StoreUnavailable:
        return None


def trouble(deps: Deps, schema: SchemaRevision | None) -> str:
    """Return why the gateway is not ready, empty if it is."""
    if schema is None:
        return "the database does not answer"
    if not schema.serves:
        return f"the database's schema is at {schema.found or 'nothing'}, this version needs {schema.expected}"
    if not deps.transport.healthy:
        return "the message broker is away or blocks publishers"
    return deps.own_trouble()
