"""A span for each request, in the caller's trace or a new one."""

from typing import Any

from flask import Request, Response

from services.api.observability.request_metrics import PROBE_OPERATIONS
from shared.clock import utc_now
from shared.spans import Span, recording, send
from shared.tracing import SpanContext, enter
from shared.tracing import begin as new_trace

__all__ = ["begin", "end"]

_KEY = "dagway.span"
_FIRST_FAILURE = 500


def begin(request: Request) -> None:
    """Enter the trace that the request names, or a new trace, and note the start of the span."""
    parent = SpanContext.parse(request.environ.get("HTTP_TRACEPARENT"))
    context = new_trace() if parent is None else parent.child()
    enter(context)
    if recording():
        request.environ[_KEY] = (context, parent, utc_now())


def end(request: Request, response: Response) -> None:
    """Send the span of the request. Probes and scrapes have no spans."""
    operation = request.endpoint or "none"
    if operation not in PROBE_OPERATIONS and (known := request.environ.get(_KEY)):
        context, parent, start = known
        error = f"HTTP {response.status_code}" if response.status_code >= _FIRST_FAILURE else ""
        facts = _attributes(request, operation, response)
        send(Span(operation, context, parent, start, utc_now(), "server", facts, error))


def _attributes(request: Request, operation: str, response: Response) -> dict[str, Any]:
    """Return the attributes of an HTTP server span; path and query are left out, since they may hold secrets."""
    method, _, route = operation.partition(" ")
    facts = {"http.request.method": request.method, "http.response.status_code": response.status_code}
    return facts | ({"http.route": route} if method == request.method else {})
