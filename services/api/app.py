"""The Flask application: registers the operations and turns every result or error into a response.

Flask is used for routing and WSGI only. Under ``/api/`` every error has the JSON body of ``problems``, and no input
of a client may cause a 500.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Request, Response, current_app
from flask import request as current_request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import MapAdapter

from services.api import problems
from services.api.deps import Deps
from services.api.observability import request_metrics, request_spans
from services.api.operations import PARAMETER, ApiResponse, Operation
from services.api.problems import Problem
from services.api.readiness import schema_of, trouble
from services.api.requests import workspace_names
from services.api.requests.dagu2_api import name_labels
from services.api.routes import OPERATIONS
from services.api.routes.probes import PROBES
from services.api.routes.schema import SCHEMA
from services.api.serving.compression import compress
from services.api.serving.raw_path import RawPath, SegmentConverter
from services.api.settings import Settings
from services.api.ui.pages import PageConverter, serve_bundle, serve_own
from services.api.views.flask_exchange import request_id, respond, this_request
from services.api.views.foreign_pages import add_cors, refuse_foreign_name
from services.api.views.view import API, view_of
from shared.errors import DagwayError
from shared.log import bind_thread
from shared.workspaces import DEFAULT

__all__ = ["create_app"]

_log = logging.getLogger(__name__)


class _NoSession(SessionInterface):
    """No session of Flask's: logins have one of their own (``SessionCookie``)."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask's signature
        return self._none


class _Application(Flask):
    """Flask without what no request here needs: its sessions, hosts in routes, asynchronous functions."""

    session_interface = _NoSession()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(request)
        # No route depends on the name of the host or redirects to one, so the name is not read here.
        return self.url_map.bind("", request.root_path, path_info=request.path, default_method=request.method)


def create_app(deps: Deps) -> Flask:
    """Return the application. It opens no connections; its only state is caches."""
    app = _Application("dagway", static_folder=None)
    app.before_request(partial(_begin, deps.settings))
    app.after_request(partial(_finish, deps.settings))
    app.teardown_request(_over)
    app.config["MAX_CONTENT_LENGTH"] = deps.max_body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # ``_begin`` answers them
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    app.url_map.converters |= {"segment": SegmentConverter, "page": PageConverter}
    for operation in OPERATIONS:
        _register(app, deps, operation, API)
    for operation in (*PROBES, *SCHEMA.all):
        _register(app, deps, operation, "")
    if deps.auth.oidc is not None:
        # Imported here, because its HTTP client and the reader of its tokens take a tenth of the start.
        from services.api.routes.oidc_login import serve_login  # noqa: PLC0415

        serve_login(app, deps, deps.auth.oidc)
    if deps.settings.ui_dir is not None:
        serve_bundle(app, deps, deps.settings.ui_dir)
    else:
        serve_own(app, deps)
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(DagwayError, _dagway_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, lambda error: _unhandled(deps, error))
    app.wsgi_app = RawPath(app.wsgi_app, deps.base_path)  # type: ignore[method-assign]
    return app


def _register(app: Flask, deps: Deps, operation: Operation, prefix: str) -> None:
    path = prefix + PARAMETER.sub(r"<segment:\1>", operation.path)
    endpoint = f"{operation.method} {operation.path}"
    app.add_url_rule(path, endpoint, view_of(deps, operation, in_api=bool(prefix)), methods=[operation.method])


def _problem(problem: Problem) -> Response:
    return respond(ApiResponse(problem.status, problem.envelope, headers=problem.headers))


def _dagway_error(error: DagwayError) -> Response:
    problem = problems.from_error(error, reading=_reading())
    if problem.status == problems.INTERNAL:
        return _unexpected(error)
    if problem.status == problems.UNAVAILABLE:
        _say_unavailable(error=str(error))
    return _problem(problem)


def _http_error(error: HTTPException) -> Response:
    """Turn Werkzeug's errors (unknown path, wrong method, body too large) into the JSON body of errors."""
    if isinstance(error, NotFound):
        return _problem(problems.not_found(f"There is nothing at the path {current_request.path}"))
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        message = f"Method {current_request.method} is not allowed here: use {allowed}"
        return _problem(Problem(problems.WRONG_METHOD, "bad_request", message, headers={"Allow": allowed}))
    if isinstance(error, RequestEntityTooLarge):
        most = current_app.config["MAX_CONTENT_LENGTH"]
        message = f"The request body is too large: at most {most >> 20} MiB"
        return _problem(Problem(problems.TOO_LARGE, "bad_request", message))
    if error.code is not None and problems.BAD_REQUEST <= error.code < problems.INTERNAL:
        return _problem(Problem(error.code, "bad_request", error.description or error.name))
    return _unexpected(error)


def _unhandled(deps: Deps, error: Exception) -> Response:
    """Handle an unexpected error. If the database schema is not migrated yet, any query may fail: return a 503."""
    schema = schema_of(deps)
    if schema is None or schema.serves:
        return _unexpected(error)
    why = trouble(deps, schema)
    _say_unavailable(error=why, cause=str(error))
    return _problem(problems.not_now(f"The gateway is not ready: {why}", reading=_reading()))


def _reading() -> bool:
    return current_request.method in request_metrics.READING


def _say_unavailable(**facts: str) -> None:
    facts |= {"request_id": request_id(current_request), "operation": current_request.endpoint or "none"}
    _log.warning("request.unavailable", extra=facts)
    request_metrics.already_logged(current_request)


def _unexpected(error: Exception) -> Response:
    _log.error(
        "request.broken",
        exc_info=error,
        extra={"request_id": request_id(current_request), "path": current_request.path},
    )
    return _problem(problems.internal())


def _begin(settings: Settings) -> Response | None:
    """Count and trace the request, and bind its id to the log.

    Raises the ``Problem`` if the server has refused the request before. Answers OPTIONS, which browsers send before
    any write.
    """
    request = this_request()
    workspace_names.begin(DEFAULT)
    request_spans.begin(request)
    request_metrics.begin(request)
    bind_thread(request_id=request_id(request))
    if (refused := request.environ.get(problems.REFUSED)) is not None:
        raise refused
    refuse_foreign_name(settings, request)
    return respond(ApiResponse(204)) if request.method == "OPTIONS" else None


def _finish(settings: Settings, response: Response) -> Response:
    """Add the headers of every response: no caching, CORS, the request id."""
    request = this_request()
    headers = response.headers
    if "Cache-Control" not in headers:
        headers.add("Cache-Control", "no-store")
    headers.add("X-Content-Type-Options", "nosniff")
    headers.add("X-Request-Id", request_id(request))
    add_cors(settings, request, response)
    name_labels(request, response)
    compress(request, response)
    if response.status_code == 204:
        headers.pop("Content-Type", None)
    request_spans.end(request, response)
    request_metrics.end(request, response, proxies=settings.trusted_proxies)
    return response


def _over(_error: BaseException | None) -> None:
    request_metrics.over(this_request())
