"""The view of an operation, which Flask calls: it admits a request, then answers it or sends it to a remote node."""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, cast

from flask import Request, Response
from werkzeug.exceptions import MethodNotAllowed

from services.api import problems
from services.api.audit.trail import Trail, audited
from services.api.auth.principals import Principal
from services.api.auth.session_cookie import SessionCookie
from services.api.command_client import command_key
from services.api.deps import Deps
from services.api.operations import PARAMETER, ApiResponse, Call, Operation
from services.api.requests import workspace_names
from services.api.requests.client_address import address_of, sent_by_tls
from services.api.requests.workspace_names import ARGUMENT, asked_workspace
from services.api.routes import OPERATIONS
from services.api.serving.places import WITHOUT_PLACE
from services.api.settings import RemoteNode, Settings
from services.api.views.flask_exchange import body_of, request_id, respond, this_request
from services.api.views.foreign_pages import refuse_foreign_page
from services.api.views.key_scope import refuse_out_of_scope
from services.api.views.remote_nodes import chosen_node, names_node, remote_operations, remote_path
from services.api.views.request_values import parse_body, parse_query
from shared.workspaces import DEFAULT, valid_workspace

__all__ = ["API", "view_of"]

API = "/api/v2"
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LOCAL = frozenset(
    {"/auth/login", "/auth/session", "/auth/logout", "/auth/me", "/openapi.json", "/docs", "/webhooks/{fileName}"}
)
"""Paths that concern this server itself, its users and tokens: they are never forwarded to a remote node."""
_ONLY_LOCAL = frozenset({"/dags/{fileName}/start-sync"})
"""Paths that are refused for a remote node: without a limit here they would hold threads for as long as runs take."""


def view_of(deps: Deps, operation: Operation, *, in_api: bool) -> Callable[..., Response]:
    """Return the view of an operation. One outside of the API, such as a probe, is about this server only."""
    view = _View(deps, operation, in_api=in_api)
    if operation.audited:
        return audited(deps.audit, operation.id, operation.path, view.begin, view.answer)
    return lambda **path: view.answer(view.begin(), path)


class _View:
    """Answers the requests for one operation."""

    def __init__(self, deps: Deps, operation: Operation, *, in_api: bool) -> None:
        self._deps, self._operation, self._in_api = deps, operation, in_api
        self._public = operation.id == "getMetrics" and deps.settings.metrics_public
        self._names = {name: _WORD.sub("_", name).lower() for name in PARAMETER.findall(operation.path)}
        # Made once, not for each request: most are about this workspace.
        self._in_default = deps.within(DEFAULT)

    def begin(self) -> Trail:
        request = this_request()
        return Trail(address=address_of(request, self._deps.settings.trusted_proxies), request_id=request_id(request))

    def answer(self, trail: Trail, path: Mapping[str, str]) -> Response:
        """Admit the request, and send it to the remote node that it names or handle it."""
        request, deps, operation = this_request(), self._deps, self._operation
        if request.method == "HEAD" and operation.permission is not None:
            # Dagu's API has a GET that changes state (dequeue); a HEAD must not.
            raise MethodNotAllowed([operation.method])
        session = _session(deps, request)
        asked = asked_workspace(_headers(request), request.args.getlist(ARGUMENT)) if self._in_api else DEFAULT
        workspace = trail.workspace = asked if operation.in_workspace and not self._public else DEFAULT
        workspace_names.begin(workspace)
        nodes = request.args.getlist("remoteNode") if self._in_api else []
        principal = self._admit(request, trail, session, leaves=operation.path not in _LOCAL and names_node(nodes))
        node = _remote_node(deps.settings, operation, nodes, asked)
        if node is not None:
            trail.remote_node = node.name
        if operation.builtin is not None and not deps.settings.builtin and node is None:
            problem = operation.builtin()
            problem.details[problems.SETTING] = "DAGWAY_AUTH_MODE"
            raise problem
        if self._in_api:
            refuse_foreign_page(deps.settings, request, principal, operation)
        refuse_out_of_scope(deps, principal, operation, path, remote=node is not None)
        if workspace and not valid_workspace(workspace):
            raise problems.not_found(f"There is no workspace {workspace[:40]!r}")
        if asked and operation.reach == "server" and operation.write:
            raise problems.bad_request("workspace: this request changes the whole server; send it without a workspace")
        if node is not None:
            return respond(_forward(deps, node, request, operation, trail.address))
        return respond(self._handle(request, trail, principal, session, path))

    def _admit(self, request: Request, trail: Trail, session: SessionCookie, *, leaves: bool) -> Principal:
        """Return who asks, if the request is admitted. ``leaves``: it may go to a remote node."""
        operation = self._operation
        return self._deps.auth.admit(
            # Only the metrics of this server can be public. A remote node knows only the account of this server, so
            # what is sent there needs a role here.
            "public" if self._public and not leaves else operation.role,
            operation.permission,
            _headers(request),
            trail.address,
            session=session.token,
            workspace=trail.workspace,
            any_role=operation.reach == "account" and not leaves,
            optional=operation.ends_session,
            note=trail.note,
        )

    def _admit_again(self, request: Request, trail: Trail, session: SessionCookie, path: Mapping[str, str]) -> None:
        principal = self._admit(request, trail, session, leaves=False)
        refuse_out_of_scope(self._deps, principal, self._operation, path, remote=False)

    def _handle(
        self, request: Request, trail: Trail, principal: Principal, session: SessionCookie, path: Mapping[str, str]
    ) -> ApiResponse:
        deps, operation = self._deps, self._operation
        from_path = {self._names[name]: text for name, text in path.items()}
        arguments: dict[str, Any] = dict(from_path)
        if operation.query is not None:
            arguments["query"] = parse_query(operation.query, request.args.to_dict(flat=False))
        headers, workspace = _headers(request), trail.workspace
        key = command_key(headers.get("Idempotency-Key"))
        call = Call(
            # A webhook shows its token only below, so until then its workspace may be made up.
            deps=self._in_default
            if workspace == DEFAULT
            else deps.within(workspace, known=operation.own_token is None),
            now=deps.clock(),
            key=None if key is None else workspace_names.stored_command_id(workspace, key),
            principal=principal,
            headers=headers,
            address=trail.address,
            request_id=trail.request_id,
            trail=trail,
            arguments=frozenset(request.args),
            success=operation.status,
            session=session,
            raw_body=partial(body_of, request),
            workspace=workspace,
            without_place=_without_place(request),
            admit_again=partial(self._admit_again, request, trail, session, path),
        )
        if operation.own_token is not None:
            arguments["credential"] = operation.own_token(call, **from_path)
        if operation.body is not None:
            arguments["body"] = parse_body(operation.body, body_of(request), required=operation.body_required)
        return operation.handler(call, **arguments)


def _remote_node(settings: Settings, operation: Operation, nodes: list[str], asked: str) -> RemoteNode | None:
    """Return the node to send a request to; ``None`` for this server. ``asked``: the workspace that it names."""
    node = chosen_node(settings, nodes)
    if node is None or operation.path in _LOCAL:
        return None
    if asked:
        raise problems.bad_request("remoteNode: cannot be combined with a workspace of this server")
    if operation.path in _ONLY_LOCAL:
        raise problems.bad_request("remoteNode: start-sync is not forwarded; use start, and read the run later")
    return node


def _headers(request: Request) -> Mapping[str, str]:
    return cast("Mapping[str, str]", request.headers)


def _session(deps: Deps, request: Request) -> SessionCookie:
    return SessionCookie(_headers(request), secure=sent_by_tls(request), base_path=deps.base_path)


def _forward(deps: Deps, node: RemoteNode, request: Request, operation: Operation, address: str) -> ApiResponse:
    from services.api.views.forwarding import forward  # noqa: PLC0415 - see its docstring

    headers = _headers(request)
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
        body=body_of(request),
        followers=deps.followers,
        without_place=_without_place(request),
        policy=deps.settings.outbound,
    )


def _without_place(request: Request) -> Callable[[], AbstractContextManager[None]]:
    return cast("Callable[[], AbstractContextManager[None]]", request.environ.get(WITHOUT_PLACE, nullcontext))
