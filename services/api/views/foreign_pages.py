"""Applies the rules of ``browser_guard`` to requests, and adds the CORS headers to responses."""

from flask import Request, Response

from services.api.auth.authentication import forbidden
from services.api.auth.principals import Principal
from services.api.browser_guard import RequestFacts, why_host_refused, why_origin_refused, why_type_refused
from services.api.operations import Operation
from services.api.problems import wrong_type
from services.api.settings import Settings

__all__ = ["add_cors", "refuse_foreign_name", "refuse_foreign_page"]

_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
_REQUEST_HEADERS = (
    "Content-Type, Authorization, Content-Encoding, Accept, Idempotency-Key, If-Match, Last-Event-ID, traceparent, "
    "X-Dagway-Workspace"
)
_BY_HEADER = frozenset({"user", "api_key", "token"})
"""Kinds of principals whose credentials a page must know: no browser adds them by itself."""
_FOREIGN = "dagway.foreign_page"
"""Key in the WSGI environment of a request that was refused because of the page that may have sent it."""


def refuse_foreign_page(settings: Settings, request: Request, principal: Principal, operation: Operation) -> None:
    """Raise a 403 or 415 if a page of another site may have made a browser send this request.

    A request with a valid token or key is admitted from anywhere. So is, on a server that demands a login, what is
    public there: the credentials of a login are in its body. A login by a page must still be JSON, and one that sets
    the session cookie comes from our own pages: no other site logs its visitors in here.

    The name of the host does not matter for the session cookie: browsers send it to the name that has set it.
    """
    if (principal.kind in _BY_HEADER and not principal.by_session) or operation.own_token is not None:
        return
    facts = _facts(request)
    if principal.by_session or operation.starts_session:
        must_tell = principal.by_session and operation.write
        _refuse(request, why_origin_refused(facts, settings.browser, must_tell=must_tell))
    elif principal.known or not settings.auth_required:
        _refuse(request, why_host_refused(facts, settings.browser) or why_origin_refused(facts, settings.browser))
    # The body of a GET means nothing (RFC 9110), and no browser sends one.
    if request.method not in {"GET", "HEAD"} and (why := why_type_refused(facts)):
        raise wrong_type(why)


def refuse_foreign_name(settings: Settings, request: Request) -> None:
    """Raise a 403 for a web page requested under a foreign host name (DNS rebinding), if no login is required.

    ``Origin`` is not checked, so links from other sites to a page work.
    """
    if _is_web_page(request) and not settings.auth_required:
        _refuse(request, why_host_refused(_facts(request), settings.browser))


def add_cors(settings: Settings, request: Request, response: Response) -> None:
    """Let scripts of any origin read the response, except web pages and refusals because of the origin.

    The header has ``*``, which browsers accept for requests without cookies and remembered passwords only. Origins in
    DAGWAY_ALLOWED_ORIGINS may use these too.
    """
    origin, headers = request.environ.get("HTTP_ORIGIN"), response.headers
    if origin is not None and _FOREIGN not in request.environ and not _is_web_page(request):
        trusted = origin in settings.browser.origins
        headers["Access-Control-Allow-Origin"] = origin if trusted else "*"
        headers["Access-Control-Expose-Headers"] = "ETag, Retry-After, X-Request-Id"
        if trusted:
            headers["Access-Control-Allow-Credentials"] = "true"
            response.vary.add("Origin")
    if request.method == "OPTIONS":
        headers["Allow"] = _METHODS
        headers["Access-Control-Allow-Methods"] = _METHODS
        headers["Access-Control-Allow-Headers"] = _REQUEST_HEADERS
        headers["Access-Control-Max-Age"] = "300"


def _refuse(request: Request, why: str) -> None:
    if why:
        request.environ[_FOREIGN] = True
        raise forbidden(why)


def _is_web_page(request: Request) -> bool:
    return (request.endpoint or "").startswith("ui ")


def _facts(request: Request) -> RequestFacts:
    environ = request.environ
    return RequestFacts(
        host=environ.get("HTTP_HOST", ""),
        origin=environ.get("HTTP_ORIGIN", ""),
        site=environ.get("HTTP_SEC_FETCH_SITE", ""),
        user_agent=environ.get("HTTP_USER_AGENT", ""),
        content_type=environ.get("CONTENT_TYPE", ""),
        has_body=environ.get("CONTENT_LENGTH", "") not in {"", "0"} or "HTTP_TRANSFER_ENCODING" in environ,
    )
