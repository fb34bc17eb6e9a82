"""Checks whether the gateway is ready: the database has the right schema and the broker accepts commands."""

from services.api.deps import Deps
from shared.errors import StoreUnavailable
from shared.store.reads.reader import SchemaRevision

__all__ = ["schema_of", "trouble"]


def schema_of(deps: Deps) -> SchemaRevision | None:
    """Return the expected and the actual schema revision, or ``None`` if the database does not answer."""
    try:
        return deps.reads.schema()
    except StoreUnavailable:
        return None


def trouble(deps: Deps, schema: SchemaRevision | None) -> str:
    """Return why the gateway is not ready, or an empty text if it is ready. ``schema`` is from ``schema_of``."""
    if schema is None:
        return "the database does not answer"
    if not schema.serves:
        return f"the database's schema is at {schema.found or 'no revision'}, this version needs {schema.expected}"
    if not deps.transport.healthy:
        return "the message broker cannot be reached or blocks publishers"
    return deps.own_trouble()
