"""One decorator per API operation, one table of them all.

The table is what the application registers, what answers 405, and what an OpenAPI document, the
roles and the configuration permissions are read from. A handler gets its path parameters, its
validated body and query, and returns an ``Answer``; it never sees Flask.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TypedDict, TypeVar, Unpack

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from services.api.auth.principals import NOBODY, Permission, Principal, Role
from services.api.deps import Deps
from services.api.problems import Problem, bad_request

__all__ = [
    "Answer",
    "Body",
    "Call",
    "Operation",
    "Operations",
    "Options",
    "Permission",
    "Query",
    "Role",
    "accepted",
    "created",
    "empty",
    "json_bytes",
    "ok",
    "parse_body",
    "parse_query",
    "removed",
    "text",
]


class Body(BaseModel):
    """Base of request bodies: JSON types as they are, unknown fields ignored, ``null`` as if absent."""

    model_config = ConfigDict(strict=True, extra="ignore", populate_by_name=True)


class Query(BaseModel):
    """Base of query parameters: text, turned into the field's type; unknown ones ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out. ``content`` is JSON unless ``media_type`` says otherwise; ``None``: no body.

    Bytes, or an iterator of them, go out as they are.
    """

    status: int
    content: Any = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_bytes(content: Any) -> bytes:
    """Return JSON as it goes out; a number it has no word for (a spec may hold ``.nan``) is ``null``."""
    try:
        return to_json(content, inf_nan_mode="null")
    except PydanticSerializationError:
        # Half a surrogate pair, in a name or text that somebody sent: it goes out as a question mark.
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8", "replace")


def ok(content: Any) -> Answer:
    """Return 200 with a body."""
    return Answer(200, content)


def empty() -> Answer:
    """Return 200 without one; the application adds the ``Content-Length: 0`` clients need."""
    return Answer(200)


def created(content: Any) -> Answer:
    """Return 201."""
    return Answer(201, content)


def accepted(content: Any) -> Answer:
    """Return 202: durable, not yet recorded."""
    return Answer(202, content)


def removed() -> Answer:
    """Return 204."""
    return Answer(204)


def text(content: bytes, media_type: str) -> Answer:
    """Return 200 with bytes that are not JSON."""
    return Answer(200, content, media_type)


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, when, and with what at hand."""

    deps: Deps
    now: datetime
    key: str | None
    """The Idempotency-Key, if any."""
    principal: Principal = NOBODY
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    """Where the request came from, as far as the server knows."""
    arguments: frozenset[str] = frozenset()
    """The names of the query parameters that were given, even if empty."""

    @property
    def user(self) -> str:
        """Who asks, for the transition log."""
        return self.principal.by


Handler = TypeVar("Handler", bound=Callable[..., Answer])


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. ``path`` is relative to ``/api/v2``, its names as in the contract."""

    id: str
    method: str
    path: str
    handler: Callable[..., Answer]
    role: Role
    permission: Permission | None
    body: type[Body] | None
    body_required: bool
    query: type[Query] | None
    builtin: Callable[[], Problem] | None
    """What to refuse it with outside the builtin authentication mode, before anything else is looked at."""


class Options(TypedDict, total=False):
    """What an operation needs: see ``Operation``; ``body_required`` is true unless said otherwise."""

    role: Role
    permission: Permission
    body: type[Body]
    body_required: bool
    query: type[Query]
    builtin: Callable[[], Problem]


class Operations:
    """A list of operations, filled by its decorators."""

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
            operation = Operation(
                id=id,
                method=method,
                path=path,
                handler=handler,
                role=options.get("role", "viewer"),
                permission=options.get("permission"),
                body=options.get("body"),
                body_required=options.get("body_required", True),
                query=options.get("query"),
                builtin=options.get("builtin"),
            )
            self.all.append(operation)
            return handler

        return register


B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


def parse_body(model: type[B], data: bytes, *, required: bool) -> B:
    """Return the body as its model, whatever content type it was sent as, and in whatever case its fields' names are.

    Raises:
        Problem: 400 when it is not JSON, not an object, absent though required, or of a wrong type.
    """
    content: Any = None
    if data.strip():
        try:
            content = from_json(data, allow_inf_nan=False)
        except ValueError as error:
            raise bad_request(f"The body is not valid JSON: {error}") from error
    if content is None and not required:
        content = {}
    if content is None:
        raise bad_request("The body is missing: a JSON object is needed")
    if not isinstance(content, dict):
        raise bad_request("The body must be a JSON object")
    present = {name: value for name, value in content.items() if value is not None}
    names = _names(model)
    found = {names.get(name.lower(), name): value for name, value in present.items()}
    exact = {name: value for name, value in present.items() if names.get(name.lower()) == name}
    try:
        return model.model_validate(found | exact)
    except ValidationError as error:
        raise _invalid(error) from error


@lru_cache
def _names(model: type[Body]) -> Mapping[str, str]:
    """Return the names of a body's fields by their lower case: ``dagRunID`` is understood as well."""
    names = [info.alias or name for name, info in model.model_fields.items()]
    return {name.lower(): name for name in names}


def parse_query(model: type[Q], values: Mapping[str, list[str]]) -> Q:
    """Return the query parameters as their model; an empty value is as good as none.

    Raises:
        Problem: 400 for a wrong type or a parameter given twice.
    """
    single: dict[str, str] = {}
    for name in _parameters(model) & values.keys():
        if len(values[name]) > 1:
            raise bad_request(f"{name}: given {len(values[name])} times", field=name)
        if "\0" in values[name][0]:
            raise bad_request(f"{name}: a NUL character cannot be part of it", field=name)
        if values[name][0] != "":
            single[name] = values[name][0]
    try:
        return model.model_validate(single)
    except ValidationError as error:
        raise _invalid(error) from error


@lru_cache
def _parameters(model: type[Query]) -> frozenset[str]:
    return frozenset(info.alias or name for name, info in model.model_fields.items())


def _invalid(error: ValidationError) -> Problem:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    issues = [(".".join(str(part) for part in issue["loc"]), issue["msg"]) for issue in found]
    message = "; ".join(f"{name}: {why}" if name else why for name, why in issues)
    return bad_request(message, fields=[{"field": name, "message": why} for name, why in issues])
