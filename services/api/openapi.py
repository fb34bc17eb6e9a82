"""The OpenAPI 3.1 document, made from the operations and the models that they declare."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from services.api.operations import PARAMETER, Operation
from services.api.parameter_texts import parameter_text
from services.api.requests.workspace_names import ARGUMENT, DEFAULT_LABEL, HEADER
from services.api.response_schemas.base import ErrorBodySchema, PendingSchema

__all__ = ["document"]

_REF = "#/components/schemas/{model}"
_ABOUT = (
    "Dagu's REST API v2, with additions. A request that changes something becomes a command, which a scheduler carries "
    "out. The response comes when the outcome is recorded, or is a 202 with the address of the outcome. Times are in "
    "RFC 3339, unless the description says otherwise."
)
_TAGS = ("dags", "dag-runs", "users", "api-keys", "webhooks", "auth", "services")
_HEADERS: Mapping[str, str] = {
    "Idempotency-Key": "a request that is sent again with the same key is carried out only once",
    "If-Match": "replace the spec only if this is the ETag of the current spec",
    "Prefer": "respond-async: answer 202 as soon as the command is stored durably, do not wait for its outcome",
    "Last-Event-ID": "id of the last event received: the stream continues after it",
    "webhook-id": "id of a signed request (Standard Webhooks): letters, digits, dashes and underscores",
    "webhook-timestamp": "when the request was signed, in seconds since 1970",
    "webhook-signature": "v1, a comma, and the HMAC-SHA256 of ID.TIMESTAMP.BODY in base64",
}
_CREDENTIALS: tuple[dict[str, list[str]], ...] = ({}, {"bearer": []}, {"basic": []})
_STREAM = "text/event-stream"
_FAILURES: Mapping[int, str] = {
    400: "the request is invalid, or the state does not allow it",
    401: "credentials are missing or wrong",
    403: "the credentials or the settings of this server do not allow the request",
    404: "the DAG, run or other object in the path does not exist",
    408: "the request body did not arrive in time",
    409: "the name or id is taken, too many runs are active already, or a file was edited in the DAG folder",
    412: "the spec has changed since it was read",
    413: "the request body is too large",
    415: "the request body is not JSON",
    428: "the header If-Match is required",
    429: "too many failed logins, or wrong tokens, from this address",
    502: "the remote node cannot be reached",
    503: "the database or the broker is down; with the detail outcome: unknown, a write may still be carried out",
}


class _ComponentNames(GenerateJsonSchema):
    """Names each component as its class, without the suffix ``Schema``."""

    def normalize_name(self, name: str) -> str:
        return super().normalize_name(name).removesuffix("Schema")


def document(
    operations: Iterable[Operation], *, version: str, base: str, builtin: bool, session_cookie: str = ""
) -> dict[str, Any]:
    """Return the OpenAPI document; ``base`` is the URL path before all paths, ``builtin`` the authentication mode.

    ``session_cookie`` is the name of the web page's session cookie; empty if this server has none.
    """
    listed = list(operations)
    bodies: list[type[BaseModel]] = [each.body for each in listed if each.body is not None]
    answers: list[type[BaseModel]] = [each.response for each in listed if each.response is not None]
    answers += [ErrorBodySchema, PendingSchema, *(model for each in listed for model in each.failure_schemas.values())]
    refs_in, defs_in = models_json_schema([(each, "validation") for each in dict.fromkeys(bodies)], ref_template=_REF)
    refs_out, defs_out = models_json_schema(
        [(each, "serialization") for each in dict.fromkeys(answers)],
        ref_template=_REF,
        schema_generator=_ComponentNames,
    )
    schemas = {**defs_out.get("$defs", {}), **defs_in.get("$defs", {})}
    _relax(defs_out.get("$defs", {}))
    body_refs = {model: ref for (model, _), ref in refs_in.items()}
    answer_refs = {model: ref for (model, _), ref in refs_out.items()}
    paths: dict[str, dict[str, Any]] = {}
    for each in listed:
        described = _operation(each, body_refs, answer_refs, builtin=builtin)
        if session_cookie and each.write:
            described.setdefault("security", [*_CREDENTIALS, {"session": [], "ownPage": []}])
        paths.setdefault(each.path, {})[each.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dagway", "version": version, "description": _ABOUT},
        "servers": [{"url": base}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "a login token, an API key or the static token (DAGWAY_AUTH_TOKEN)",
                },
                "basic": {"type": "http", "scheme": "basic"},
                **(_session_schemes(session_cookie) if session_cookie else {}),
            },
        },
        "security": [*_CREDENTIALS, *([{"session": []}] if session_cookie else [])],
    }


def _session_schemes(cookie: str) -> dict[str, Any]:
    return {
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "the session cookie, which a login at the web page sets; programs send a token or key",
        },
        "ownPage": {
            "type": "apiKey",
            "in": "header",
            "name": "Sec-Fetch-Site",
            "description": "same-origin, or an Origin header that names this server: changes with the session cookie "
            "must come from a page of this server (protection from CSRF). Browsers send these headers by themselves",
        },
    }


def _relax(schemas: Mapping[str, Any]) -> None:
    """Make fields with a default optional: a response omits them when they are empty."""
    for schema in schemas.values():
        fields = schema.get("properties", {})
        needed = [name for name in schema.get("required", []) if "default" not in fields.get(name, {})]
        for field in fields.values():
            field.pop("default", None)
            field.pop("title", None)
        schema["required"] = needed


def _operation(
    operation: Operation, bodies: Mapping[Any, Any], answers: Mapping[Any, Any], *, builtin: bool
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.description.partition(". ")[0].rstrip(".").replace("``", ""),
        "description": operation.description,
        "tags": [_tag(operation.path)],
        "parameters": [*_parameters(operation), *_headers(operation)],
        "responses": _responses(operation, answers),
        "x-minimum-role": operation.role,
    }
    if operation.permission is not None:
        described["x-permission"] = operation.permission
    if operation.role == "public" and (builtin or operation.own_token is None):
        described["security"] = [{}]
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": bodies[operation.body]}},
        }
    return described


def _tag(path: str) -> str:
    first = path.split("/")[1]
    return first if first in _TAGS else "system"


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": parameter_text(name, operation.path),
            "schema": {"type": "string", "minLength": 1},
        }
        for name in PARAMETER.findall(operation.path)
    ]
    if operation.query is not None:
        schema = operation.query.model_json_schema(by_alias=True)
        for name, field in schema.get("properties", {}).items():
            described = {key: value for key, value in field.items() if key not in {"title", "description"}}
            required = name in schema.get("required", ())
            text = field.get("description") or parameter_text(name, operation.path)
            found.append({"name": name, "in": "query", "required": required, "description": text, "schema": described})
    found.append(
        {
            "name": "remoteNode",
            "in": "query",
            "required": False,
            "description": "name of the configured remote node that answers the request; local: this server",
            "schema": {"type": "string", "default": "local"},
        }
    )
    if operation.in_workspace:
        found.append(_WORKSPACE)
    return found


_WORKSPACE = {
    "name": ARGUMENT,
    "in": "query",
    "required": False,
    "description": f"workspace of the request, if not the default one; or send the header {HEADER}",
    "schema": {"type": "string", "default": DEFAULT_LABEL},
}


def _headers(operation: Operation) -> list[dict[str, Any]]:
    names = {*operation.headers, *(["Idempotency-Key"] if operation.write else [])}
    if operation.write and operation.pending:
        names.add("Prefer")
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in _HEADERS.items()
        if name in names
    ]


def _responses(operation: Operation, answers: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {str(operation.status): {"description": "success", **_success_body(operation, answers)}}
    if operation.media_type == _STREAM:
        found["204"] = {"description": "the run has ended and the client has all its events"}
    if operation.write and operation.pending:
        pending = {"application/json": {"schema": answers[PendingSchema]}}
        location = {"description": "where to ask for the outcome; 404 until then", "schema": {"type": "string"}}
        found["202"] = {
            "description": "the command is stored durably, its outcome not known yet: commands that are sent "
            "meanwhile may be carried out before it, and what it makes is not found yet",
            "headers": {"Location": location},
            "content": pending,
        }
    found |= {str(status): _failure(operation, status, answers) for status in _failures(operation)}
    return dict(sorted(found.items()))


def _failure(operation: Operation, status: int, answers: Mapping[Any, Any]) -> dict[str, Any]:
    schema = answers[operation.failure_schemas.get(status, ErrorBodySchema)]
    return {
        "description": operation.failure_texts.get(status, _FAILURES[status]),
        "content": {"application/json": {"schema": schema}},
    }


def _success_body(operation: Operation, answers: Mapping[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.response is not None:
        content["application/json"] = {"schema": answers[operation.response]}
    if operation.media_type:
        kind = "object" if operation.media_type == "application/json" else "string"
        content[operation.media_type] = {"schema": {"type": kind}}
    return {"content": content} if content else {}


def _failures(operation: Operation) -> Iterable[int]:
    """Return the statuses of the errors that an operation can return."""
    found = {400, 502, 503, *operation.failures}
    if operation.role != "public" or operation.own_token is not None:
        found |= {401, 403}
    if operation.role != "public":
        found.add(429)
    if "{" in operation.path or (operation.reach == "workspace" and operation.role != "public"):
        found.add(404)
    if operation.write:
        found.add(409)
    if operation.body is not None:
        found |= {408, 413} if operation.own_token is not None else {408, 413, 415}
    return found
