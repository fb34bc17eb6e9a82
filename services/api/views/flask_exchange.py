"""The request that is being answered and its response, as Flask has them."""

import re
from typing import cast

from flask import Request, Response
from flask import request as current_request

from services.api.observability import dagu_metrics
from services.api.operations import ApiResponse, json_bytes
from services.api.problems import broken_body
from services.api.requests import workspace_names
from services.api.requests.workspace_names import shown_parts
from shared.ids import random_hex

__all__ = ["body_of", "request_id", "respond", "this_request"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_NAMING = frozenset({"application/json", "text/event-stream", "application/x-ndjson", dagu_metrics.MEDIA_TYPE})
"""Media types of bodies that Dagway writes. All others are logs, which are sent as the steps wrote them."""


def this_request() -> Request:
    """Return the request object: ``current_request`` is a proxy that looks it up at each access."""
    return cast("Request", current_request._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - documented by Flask


def request_id(request: Request) -> str:
    """Return the id of a request: that in its header ``X-Request-Id``, or a new one."""
    known = request.environ.get("dagway.request_id")
    if known is None:
        given = request.environ.get("HTTP_X_REQUEST_ID", "")
        known = given if given and _REQUEST_ID.fullmatch(given) else random_hex(16)
        request.environ["dagway.request_id"] = known
    return str(known)


def body_of(request: Request) -> bytes:
    """Return the body of a request; empty if the headers announce no body. Raises a 400 for a broken one."""
    environ = request.environ
    if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    try:
        return request.get_data()
    except OSError as error:
        raise broken_body() from error


def respond(answer: ApiResponse) -> Response:
    """Return the response, which calls what belongs to the workspace of this request by its plain name."""
    if answer.content is None:
        response = Response(b"", answer.status)
        del response.headers["Content-Type"]
    else:
        content = answer.content
        if answer.media_type == "application/json" and not isinstance(content, bytes):
            content = json_bytes(content)
        if workspace_names.current() and answer.media_type in _NAMING:
            content = workspace_names.shown(content) if isinstance(content, bytes) else shown_parts(content)
        response = Response(content, answer.status, content_type=answer.media_type)
    if answer.headers:
        response.headers.extend(answer.headers)
    return response
