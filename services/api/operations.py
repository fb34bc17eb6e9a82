"""The operations of the API: one decorator declares all properties of an operation.

``app`` registers the routes and ``openapi`` makes the document from these declarations. A handler gets the path
parameters, the validated body and the validated query, and returns an ``ApiResponse``. Handlers do not use Flask.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Literal, TypedDict, TypeVar, Unpack
from urllib.parse import quote, urlencode
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError, to_json

from services.api.audit.trail import Trail, actor_of
from services.api.auth.principals import NOBODY, Permission, Principal, Role
from services.api.auth.session_cookie import SessionCookie
from services.api.auth.tokens import drawn
from services.api.command_client import Accepted, SentCommand
from services.api.deps import Deps
from services.api.observability import request_metrics
from services.api.problems import Problem
from services.api.requests.workspace_names import ARGUMENT, stored_command_id
from services.api.response_schemas.base import Schema
from shared.contracts.commands import Command, StartInline, StartRun
from shared.ids import new_command_id
from shared.workspaces import DEFAULT, plain_name

__all__ = [
    "PARAMETER",
    "ApiResponse",
    "Body",
    "Call",
    "Operation",
    "Operations",
    "Options",
    "Permission",
    "Query",
    "Result",
    "Role",
    "Storable",
    "json_bytes",
    "ok",
]

PARAMETER = re.compile(r"\{(\w+)\}")
"""A parameter in the path of an operation."""


class Body(BaseModel):
    """Base of request bodies. Types are strict, unknown fields are ignored, and ``null`` counts as absent."""

    # ``defer_build``, here and below: the validator is built when the operation is first called.
    model_config = ConfigDict(strict=True, extra="ignore", populate_by_name=True, defer_build=True)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


Storable = Annotated[str, AfterValidator(_without_nul)]
"""A text in a body that the database can store."""


class Query(BaseModel):
    """Base of query parameters. Text is converted to the type of its field; unknown parameters are ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response.

    ``content`` is bytes or an iterator of bytes, which are sent unchanged; or, with the default ``media_type``, a
    value to encode as JSON; or ``None`` for no body.
    """

    status: int
    content: Any = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_bytes(content: Any) -> bytes:
    """Return ``content`` as JSON. Numbers that JSON does not have, such as ``.nan`` in a spec, become ``null``."""
    try:
        return to_json(content, inf_nan_mode="null")
    except PydanticSerializationError:
        # Text from a client contains a lone surrogate, which becomes a question mark.
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8", "replace")


def ok(content: Any) -> ApiResponse:
    """Return 200 with a body."""
    return ApiResponse(200, content)


Result = dict[str, Any]
"""The scheduler's result of a command that it has carried out."""
Then = Callable[[Result], Any] | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an operation: its principal, time, headers, and the services that a handler uses."""

    deps: Deps
    now: datetime
    key: str | None
    """The Idempotency-Key, if any."""
    principal: Principal = NOBODY
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    """The IP address of the client, or of the first proxy that is not trusted; empty if unknown."""
    request_id: str = ""
    trail: Trail = field(default_factory=Trail)
    """What the audit log will say about this request."""
    arguments: frozenset[str] = frozenset()
    """The names of the query parameters in the request, including those with an empty value."""
    success: int = 200
    """The HTTP status of a successful response."""
    session: SessionCookie = field(default_factory=lambda: SessionCookie({}, secure=False, base_path=""))
    """The session cookie of this request's web page."""
    raw_body: Callable[[], bytes] = bytes
    """Returns the body as it was sent. Raises a 413 if it is too large."""
    workspace: str = DEFAULT
    """The workspace that the request is about."""
    without_place: Callable[[], AbstractContextManager[None]] = nullcontext
    """Returns a context in which the request does not count as one that is being answered, because it waits."""
    admit_again: Callable[[], None] = lambda: None
    """Raises a ``Problem`` if the request would not be admitted now: its login may have ended."""

    @property
    def user(self) -> str:
        """The principal's name for the log of transitions."""
        return self.principal.by

    def drawn(self, size: int, purpose: str) -> bytes:
        """Return random bytes for this request: the same ones if it is repeated with its Idempotency-Key."""
        return drawn(size, server_secret=self.deps.settings.token_secret, purpose=purpose, key=self.key)

    def drawn_id(self, purpose: str) -> str:
        """Return a new UUID made of such bytes."""
        return str(UUID(bytes=self.drawn(16, purpose), version=4))

    def send(self, command: Command, *, key: str | None) -> SentCommand:
        """Send a command of this request's principal without waiting. ``key`` becomes the command's id."""
        self.trail.sent = True
        actor = actor_of(self.principal, address=self.address, request_id=self.request_id)
        if key is None and self.workspace:
            key = stored_command_id(self.workspace, new_command_id())
        named = command.model_copy(update={"actor": actor, "workspace": self.workspace})
        sent = self.deps.commands.send(named, key=key)
        if isinstance(command, StartRun | StartInline):
            request_metrics.accepted()
        return sent

    def made_by(self, principal: Principal) -> "Call":
        """Return this call with the principal that the operation itself has authenticated."""
        self.trail.principal = principal
        return replace(self, principal=principal)

    def carry_out(
        self,
        command: Command,
        *,
        then: Then = None,
        known: Mapping[str, Any] = {},
        certain: Callable[[], ApiResponse | None] = lambda: None,
    ) -> ApiResponse:
        """Send a command, wait for its outcome and return the response.

        * The command is carried out: the operation's success status. ``then`` is the body, or a function that makes
          the body or the whole response from the scheduler's result.
        * No reply arrives in time, or the client asked not to wait (``Prefer: respond-async``, RFC 7240): 202 with the
          command's id, and ``Location`` says where to ask for the outcome. But ``certain`` is called before: what it
          returns or raises, for instance the errors of a spec, is what the scheduler will say, and is the response.

        The fields in ``known``, e.g. a new run's id, are added to either body. If the result has a field of the same
        name, its value is used.

        Raises:
            Problem: the scheduler refused the command.
            BrokerUnavailable, PublishUnconfirmed, Unroutable: see ``command_client``.
        """
        sent, commands = self.send(command, key=self.key), self.deps.commands
        outcome = commands.wait_for_confirm(sent) if self._respond_async else commands.wait(sent)
        if isinstance(outcome, Accepted):
            return certain() or self._accepted(outcome.command_id, known)
        body = then(outcome.result) if callable(then) else then
        if isinstance(body, ApiResponse):
            return body
        if known:
            body = {**(body or {}), **{name: outcome.result.get(name, value) for name, value in known.items()}}
        return ApiResponse(self.success, body)

    @property
    def _respond_async(self) -> bool:
        preferences = self.headers.get("Prefer", "").split(",")
        return any(each.partition(";")[0].strip().lower() == "respond-async" for each in preferences)

    def _accepted(self, command_id: str, known: Mapping[str, Any]) -> ApiResponse:
        """Return 202: the command is stored durably but its outcome is not known yet."""
        asked = f"?{urlencode({ARGUMENT: self.workspace})}" if self.workspace else ""
        path = f"/api/v2/commands/{quote(plain_name(command_id), safe='')}{asked}"
        headers = {"Location": f"{self.deps.base_path}{path}"}
        if self._respond_async:
            headers["Preference-Applied"] = "respond-async"
        return ApiResponse(202, {"commandId": command_id, **known}, headers=headers)


Reach = Literal["workspace", "server", "account"]
Handler = TypeVar("Handler", bound=Callable[..., ApiResponse])


class Options(TypedDict, total=False):
    """The options of an operation's decorator: see ``Operation``."""

    role: Role
    permission: Permission
    body_required: bool
    builtin: Callable[[], Problem]
    response: type[Schema]
    status: int
    media_type: str
    pending: bool
    failures: tuple[int, ...]
    failure_texts: Mapping[int, str]
    failure_schemas: Mapping[int, type[Schema]]
    headers: tuple[str, ...]
    text: str
    own_token: Callable[..., Any]
    starts_session: bool
    ends_session: bool
    changes: bool
    reach: Reach


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. ``path`` is relative to ``/api/v2``; its parameters are named as in Dagu's API."""

    id: str
    method: str
    path: str
    handler: Callable[..., ApiResponse]
    role: Role = "viewer"
    permission: Permission | None = None
    body: type[Body] | None = None
    body_required: bool = True
    query: type[Query] | None = None
    builtin: Callable[[], Problem] | None = None
    """Makes the error outside the builtin authentication mode. Raised before path, query and body are checked."""
    response: type[Schema] | None = None
    """The schema of the JSON body of success. ``None``: there is none."""
    status: int = 200
    """The HTTP status of success."""
    media_type: str = ""
    """The media type of a body that has no schema: the only one, or another form of the same content."""
    pending: bool = True
    """Whether a write can return 202. False for operations that send no command."""
    failures: tuple[int, ...] = ()
    """Error statuses besides those that follow from the method, the path, the role or the body."""
    failure_texts: Mapping[int, str] = field(default_factory=dict)
    """What an error status means for this operation, if that is more than it means for all."""
    failure_schemas: Mapping[int, type[Schema]] = field(default_factory=dict)
    """The schemas of the JSON bodies of errors that have more fields than others."""
    headers: tuple[str, ...] = ()
    """Request headers to document, besides those that follow from the method."""
    text: str = ""
    """What the operation does, if its handler has several and its docstring is about another one."""
    own_token: Callable[..., Any] | None = None
    """Checks the token of a public operation that has its own, as the trigger of a webhook has.

    Gets the call and the path parameters before the body is read, and raises a 401. The handler gets what it returns as
    the argument ``credential``.
    """

    starts_session: bool = False
    """Whether success sets the session cookie."""
    ends_session: bool = False
    """Whether a public operation ends the login of its request, and so has to know whose request it is."""
    changes: bool = True
    """False if an operation changes nothing although its method is not GET, as the validation of a spec."""

    reach: Reach = "workspace"
    """What a request is about: one workspace, the whole server (with the role in the default workspace), or only the
    account that makes it (which needs no role)."""

    @property
    def description(self) -> str:
        """What the operation does. The first sentence is a summary."""
        return " ".join((self.text or self.handler.__doc__ or "").split())

    @property
    def in_workspace(self) -> bool:
        """Whether a request is about the workspace that it names.

        Without credentials it sees nothing of a workspace, except with the token of one of its webhooks.
        """
        return self.reach == "workspace" and (self.role != "public" or self.own_token is not None)

    @property
    def audited(self) -> bool:
        """Whether each request to the operation has an entry in the audit log."""
        return self.write and self.changes

    @property
    def write(self) -> bool:
        """Whether the operation changes state. Dagu's API has one GET that does (dequeue)."""
        return self.method != "GET" or self.permission is not None


class Operations:
    """The operations of one routes module, registered by its decorators."""

    def __init__(self) -> None:
        self.all: list[Operation] = []

    def get(self, path: str, *, id: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Register the decorated function for GET on ``path``."""
        return self._register("GET", path, id, options)

    def post(self, path: str, *, id: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Register the decorated function for POST on ``path``."""
        return self._register("POST", path, id, options)

    def put(self, path: str, *, id: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Register the decorated function for PUT on ``path``."""
        return self._register("PUT", path, id, options)

    def patch(self, path: str, *, id: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Register the decorated function for PATCH on ``path``."""
        return self._register("PATCH", path, id, options)

    def delete(self, path: str, *, id: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Register the decorated function for DELETE on ``path``."""
        return self._register("DELETE", path, id, options)

    def _register(self, method: str, path: str, id: str, options: Options) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            # What a handler gets as ``body`` and ``query`` is declared once: by its signature.
            of = handler.__annotations__
            operation = Operation(id, method, path, handler, body=of.get("body"), query=of.get("query"), **options)
            self.all.append(operation)
            return handler

        return register
