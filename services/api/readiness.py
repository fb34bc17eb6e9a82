"""Checks whether the gateway is healthy, and whether it should get requests.

A healthy gateway reads from the database and sends commands to the broker. Without the broker it still reads, and
refuses commands with 503 and ``Retry-After``, so it stays ready: if every gateway left the load balancer, reads would
end too.
"""

from services.api.deps import Deps
from shared.store.reads.reader import SchemaRevision

__all__ = ["schema_of", "trouble", "unready"]


def schema_of(deps: Deps) -> SchemaRevision | None:
    """Return the expected and the actual schema revision, or ``None`` if the database does not answer soon."""
    return deps.schema.get()


def trouble(deps: Deps, schema: SchemaRevision | None) -> str:
    """Return why the gateway is not healthy, or an empty text if it is. ``schema`` is from ``schema_of``."""
    return _read_trouble(schema) or _broker_trouble(deps) or deps.own_trouble()


def unready(deps: Deps, schema: SchemaRevision | None) -> str:
    """Return why the gateway should get no requests, or an empty text. ``schema`` is from ``schema_of``.

    A gateway that has not reached the broker since its start is not ready: its settings may be wrong.
    """
    without_broker = _broker_trouble(deps)
    if not without_broker:
        deps.reached_broker.set()
    elif deps.reached_broker.is_set():
        without_broker = ""
    return _read_trouble(schema) or without_broker or deps.own_trouble()


def _read_trouble(schema: SchemaRevision | None) -> str:
    if schema is None:
        return "the database does not answer"
    if not schema.serves:
        return f"the database's schema is at {schema.found or 'no revision'}, this version needs {schema.expected}"
    return ""


def _broker_trouble(deps: Deps) -> str:
    return "" if deps.transport.healthy else "the message broker cannot be reached or blocks publishers"
