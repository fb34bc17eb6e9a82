"""A span per request: the caller's trace goes on here, or one begins."""

from typing import Any

from flask import Flask, Response, request

from services.api.request_metrics import PROBE_OPERATIONS
from shared.clock import utc_now
from shared.spans import Span, recording, send
from shared.tracing import SpanContext, begin, enter

__all__ = ["trace_requests"]

_KEY = "dagway.span"
_FIRST_FAILURE = 500


def trace_requests(app: Flask) -> None:
    """Let ``app`` work in its requests' traces. Probes and scrapes have none."""

    def enter_trace() -> None:
        parent = SpanContext.parse(request.headers.get("traceparent"))
        context = begin() if parent is None else parent.child()
        enter(context)
        request.environ[_KEY] = (context, parent, utc_now())

    def answered(response: Response) -> Response:
        operation = request.endpoint or "none"
        if recording() and operation not in PROBE_OPERATIONS and (known := request.environ.get(_KEY)):
            context, parent, start = known
            error = f"HTTP {response.status_code}" if response.status_code >= _FIRST_FAILURE else ""
            facts = _attributes(operation, response)
            send(Span(operation, context, parent, start, utc_now(), "server", facts, error))
        return response

    app.before_request_funcs.setdefault(None, []).insert(0, enter_trace)
    app.after_request(answered)


def _attributes(operation: str, response: Response) -> dict[str, Any]:
    """Return what OpenTelemetry's conventions for HTTP servers ask for; paths and queries may hold secrets."""
    method, _, route = operation.partition(" ")
    facts = {"http.request.method": request.method, "http.response.status_code": response.status_code}
    return facts | ({"http.route": route} if method == request.method else {})
