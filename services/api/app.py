"""The Flask application: registers the operations and turns every result or error into a response.

Flask is used for routing and WSGI only. Under ``/api/`` every error has the JSON body of ``problems``, and no input
of a client may cause a 500.
"""

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, cast

from flask import Flask, Request, Response
from flask import request as current_request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import MapAdapter

from services.api import problems, workspace_names
from services.api.audit.trail import Trail, audited, current_trail
from services.api.auth.session_cookie import SessionCookie
from services.api.client_address import address_of, sent_by_tls
from services.api.command_client import command_key
from services.api.dagu2_api import name_labels
from services.api.deps import Deps
from services.api.foreign_pages import add_cors, refuse_foreign_name, refuse_foreign_page
from services.api.key_scope import refuse_out_of_scope
from services.api.observability import dagu_metrics, request_metrics, request_spans
from services.api.operations import ApiResponse, Call, Operation, json_bytes, parse_body, parse_query
from services.api.problems import Problem
from services.api.readiness import schema_of, trouble
from services.api.remote_nodes import chosen_node, names_node
from services.api.remote_paths import remote_operations, remote_path
from services.api.routes import OPERATIONS
from services.api.routes.probes import PROBES
from services.api.routes.schema import SCHEMA
from services.api.serving.compression import compress
from services.api.serving.places import WITHOUT_PLACE
from services.api.serving.raw_path import RawPath
from services.api.serving.route_table import RouteTable
from services.api.settings import RemoteNode, Settings
from services.api.ui.pages import serve_bundle, serve_own
from services.api.workspace_names import ARGUMENT, asked_workspace, shown_parts
from shared.errors import DagwayError
from shared.ids import random_hex
from shared.log import bind_thread
from shared.workspaces import DEFAULT, valid_workspace

__all__ = ["API", "create_app"]

API = "/api/v2"
_log = logging.getLogger(__name__)
_PARAMETER = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LOCAL = frozenset(
    {"/auth/login", "/auth/session", "/auth/logout", "/auth/me", "/openapi.json", "/docs", "/webhooks/{fileName}"}
)
"""Paths that concern this server itself, its users and tokens: they are never forwarded to a remote node."""
_ONLY_LOCAL = frozenset({"/dags/{fileName}/start-sync"})
"""Paths that are refused for a remote node: without a limit here they would hold threads for as long as runs take."""
_NAMING = frozenset({"application/json", "text/event-stream", "application/x-ndjson", dagu_metrics.MEDIA_TYPE})
"""Media types of bodies that Dagway writes. All others are logs, which are sent as the steps wrote them."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


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
    routes = RouteTable()
    for operation in OPERATIONS:
        _register(routes, deps, operation, API)
    for operation in (*PROBES, *SCHEMA.all):
        _register(routes, deps, operation, "")
    if deps.auth.oidc is not None:
        # Imported here, because its HTTP client and the reader of its tokens take a tenth of the start.
        from services.api.routes.oidc_login import serve_login  # noqa: PLC0415

        serve_login(app, routes, deps, deps.auth.oidc)
    if deps.settings.ui_dir is not None:
        serve_bundle(routes, deps, deps.settings.ui_dir)
    else:
        serve_own(routes, deps)
    routes.install(app)
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(DagwayError, _dagway_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, lambda error: _unhandled(deps, error))
    app.wsgi_app = RawPath(app.wsgi_app, deps.base_path)  # type: ignore[method-assign]
    return app


def _register(routes: RouteTable, deps: Deps, operation: Operation, prefix: str) -> None:
    path = prefix + _PARAMETER.sub(r"<segment:\1>", operation.path)
    endpoint = f"{operation.method} {operation.path}"
    routes.add(operation.method, path, endpoint, _view(deps, operation, prefix))


def _view(deps: Deps, operation: Operation, prefix: str) -> Callable[..., Response]:
    public = operation.id == "getMetrics" and deps.settings.metrics_public
    role = "public" if public else operation.role
    names = {name: _WORD.sub("_", name).lower() for name in _PARAMETER.findall(operation.path)}
    # Made once, not for each request: most are about this workspace.
    in_default = deps.within(DEFAULT)

    def view(**path: str) -> Response:
        request = _request()
        if request.method == "HEAD" and operation.permission is not None:
            # The contract has a GET that changes state (dequeue); a HEAD must not.
            raise MethodNotAllowed([operation.method])
        headers = cast("Mapping[str, str]", request.headers)
        trail = current_trail() or Trail()
        address = trail.address or address_of(request, deps.settings.trusted_proxies)
        session = _session(deps, request)
        asked = asked_workspace(headers, request.args.getlist(ARGUMENT)) if prefix else DEFAULT
        # A request without credentials sees nothing of a workspace, except with the token of one of its webhooks.
        about_one = operation.reach == "workspace" and (role != "public" or operation.own_token is not None)
        workspace = trail.workspace = asked if about_one else DEFAULT
        workspace_names.begin(workspace)
        # Probes and the like are outside the API, and about this server.
        nodes = request.args.getlist("remoteNode") if prefix else []
        # A remote node knows only the account of this server, so what is sent there needs a role here.
        may_leave = operation.path not in _LOCAL and names_node(nodes)
        principal = deps.auth.admit(
            # Only the metrics of this server can be public.
            operation.role if may_leave else role,
            operation.permission,
            headers,
            address,
            session=session.token,
            workspace=workspace,
            any_role=operation.reach == "account" and not may_leave,
            optional=operation.ends_session,
            note=trail.note,
        )
        node = chosen_node(deps.settings, nodes)
        remote = node is not None and operation.path not in _LOCAL
        if remote and asked:
            raise problems.bad_request("remoteNode: cannot be combined with a workspace of this server")
        if remote and operation.path in _ONLY_LOCAL:
            raise problems.bad_request("remoteNode: start-sync is not forwarded; use start, and read the run later")
        if node is not None and remote:
            trail.remote_node = node.name
        if operation.builtin is not None and not deps.settings.builtin and not remote:
            problem = operation.builtin()
            problem.details[problems.SETTING] = "DAGWAY_AUTH_MODE"
            raise problem
        if prefix:
            refuse_foreign_page(deps.settings, request, principal, operation)
        refuse_out_of_scope(deps, principal, operation, path, remote=remote)
        if workspace and not valid_workspace(workspace):
            raise problems.not_found(f"There is no workspace {workspace[:40]!r}")
        if asked and operation.reach == "server" and operation.write:
            raise problems.bad_request("workspace: this request changes the whole server; send it without a workspace")
        if node is not None and remote:
            return _response(_forward(deps, node, request, operation, address))
        arguments: dict[str, Any] = {names[name]: value for name, value in path.items()}
        if operation.query is not None:
            arguments["query"] = parse_query(operation.query, request.args.to_dict(flat=False))
        key = command_key(headers.get("Idempotency-Key"))
        call = Call(
            # A webhook shows its token only below, so until then its workspace may be made up.
            deps=in_default if workspace == DEFAULT else deps.within(workspace, known=operation.own_token is None),
            now=deps.clock(),
            key=None if key is None else workspace_names.stored_command_id(workspace, key),
            principal=principal,
            headers=headers,
            address=address,
            request_id=_request_id(request),
            trail=trail,
            arguments=frozenset(request.args),
            success=operation.status,
            session=session,
            raw_body=partial(_body, request),
            workspace=workspace,
            aside=_aside(request),
        )
        if operation.own_token is not None:
            arguments["credential"] = operation.own_token(call, **{names[name]: value for name, value in path.items()})
        if operation.body is not None:
            arguments["body"] = parse_body(operation.body, _body(request), required=operation.body_required)
        return _response(operation.handler(call, **arguments))

    def begin() -> tuple[str, str]:
        request = _request()
        return address_of(request, deps.settings.trusted_proxies), _request_id(request)

    return audited(deps.audit, operation.id, operation.path, begin, view) if operation.audited else view


def _session(deps: Deps, request: Request) -> SessionCookie:
    headers = cast("Mapping[str, str]", request.headers)
    return SessionCookie(headers, secure=sent_by_tls(request), base_path=deps.base_path)


def _forward(deps: Deps, node: RemoteNode, request: Request, operation: Operation, address: str) -> ApiResponse:
    from services.api.forwarding import forward  # noqa: PLC0415 - see its docstring

    headers = cast("Mapping[str, str]", request.headers)
    path = str(request.environ["PATH_INFO"]).encode("latin-1").decode("utf-8", "replace").removeprefix(API)
    sent = remote_path(path)
    for named in remote_operations(request.method, path, OPERATIONS):
        if named is not operation:
            deps.auth.admit(named.role, named.permission, headers, address, session=_session(deps, request).token)
    query = [(name, value) for name, values in request.args.lists() for value in values]
    return forward(
        node,
        request.method,
        sent,
        query=query,
        headers=headers,
        body=_body(request),
        follower=deps.follower,
        aside=_aside(request),
        policy=deps.settings.outbound,
    )


def _aside(request: Request) -> Callable[[], AbstractContextManager[None]]:
    return cast("Callable[[], AbstractContextManager[None]]", request.environ.get(WITHOUT_PLACE, nullcontext))


def _request() -> Request:
    """Return the request object: ``current_request`` is a proxy that looks it up at each access."""
    return cast("Request", current_request._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - documented by Flask


def _body(request: Request) -> bytes:
    """Return the body of a request; empty if the headers announce no body. Raises a 400 for a broken one."""
    environ = request.environ
    if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    try:
        return request.get_data()
    except OSError as error:
        raise problems.broken_body() from error


def _response(answer: ApiResponse) -> Response:
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


def _problem(problem: Problem) -> Response:
    return _response(ApiResponse(problem.status, problem.envelope, headers=problem.headers))


def _dagway_error(error: DagwayError) -> Response:
    problem = problems.from_error(error)
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
        return _problem(Problem(problems.TOO_LARGE, "bad_request", "The request body is too large"))
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
    return _problem(problems.unavailable(f"The gateway is not ready: {why}; nothing was changed."))


def _say_unavailable(**facts: str) -> None:
    facts |= {"request_id": _request_id(current_request), "operation": current_request.endpoint or "none"}
    _log.warning("request.unavailable", extra=facts)
    request_metrics.already_logged(current_request)


def _unexpected(error: Exception) -> Response:
    _log.error(
        "request.broken",
        exc_info=error,
        extra={"request_id": _request_id(current_request), "path": current_request.path},
    )
    return _problem(problems.internal())


def _request_id(request: Request) -> str:
    known = request.environ.get("dagway.request_id")
    if known is None:
        given = request.environ.get("HTTP_X_REQUEST_ID", "")
        known = given if given and _REQUEST_ID.fullmatch(given) else random_hex(16)
        request.environ["dagway.request_id"] = known
    return str(known)


def _begin(settings: Settings) -> Response | None:
    """Count and trace the request, and bind its id to the log.

    Raises the ``Problem`` if the server has refused the request before. Answers OPTIONS, which browsers send before
    any write.
    """
    request = _request()
    workspace_names.begin(DEFAULT)
    request_spans.begin(request)
    request_metrics.begin(request)
    bind_thread(request_id=_request_id(request))
    if (refused := request.environ.get(problems.REFUSED)) is not None:
        raise refused
    refuse_foreign_name(settings, request)
    return _response(ApiResponse(204)) if request.method == "OPTIONS" else None


def _finish(settings: Settings, response: Response) -> Response:
    """Add the headers of every response: no caching, CORS, the request id."""
    request = _request()
    headers = response.headers
    if "Cache-Control" not in headers:
        headers.add("Cache-Control", "no-store")
    headers.add("X-Content-Type-Options", "nosniff")
    headers.add("X-Request-Id", _request_id(request))
    add_cors(settings, request, response)
    name_labels(request, response)
    compress(request, response)
    if response.status_code == 204:
        headers.pop("Content-Type", None)
    request_spans.end(request, response)
    request_metrics.end(request, response, proxies=settings.trusted_proxies)
    return response


def _over(_error: BaseException | None) -> None:
    request_metrics.over(_request())
