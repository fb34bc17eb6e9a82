"""The OpenAPI 3.1 document, made from the table of operations and the models they use."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.api.operations import Operation
from services.api.response_schemas.system import ANSWERS, ErrorBody, Pending

__all__ = ["document"]

_PARAMETER = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{model}"
_CREATES = frozenset({"createNewDAG", "createUser", "createAPIKey", "createDAGWebhook"})
_TEXT = {"getMetrics": "text/plain", "getReference": "text/html"}
_STREAMS = frozenset({"streamEvents", "streamDAGRunEvents"})
_NO_BODY = frozenset({"deleteDAG", "deleteUser", "deleteAPIKey", "deleteDAGWebhook"})
_CONFLICTS = frozenset(
    {"createNewDAG", "renameDAG", "createUser", "updateUser", "updateUserByPut", "createAPIKey", "updateAPIKey"}
    | {"createDAGWebhook", "triggerWebhook", "executeDAG", "enqueueDAGDAGRun", "executeDAGRunFromSpec"}
    | {"enqueueDAGRunFromSpec", "rescheduleDAGRun"}
)
_TAGS = ("dags", "dag-runs", "users", "api-keys", "webhooks", "auth", "services")
_HEADERS: Mapping[str, tuple[str, str]] = {
    "Idempotency-Key": ("write", "the same request sent again under the same key is carried out once"),
    "If-Match": ("updateDAGSpec", "replace the spec only if it is still the one with this ETag"),
    "Last-Event-ID": ("stream", "go on behind this event"),
}


def document(operations: Iterable[Operation], *, version: str, base: str, builtin: bool) -> dict[str, Any]:
    """Return the document; ``base`` is the path that all others follow."""
    listed = list(operations)
    bodies: list[type[BaseModel]] = [each.body for each in listed if each.body is not None]
    answers: list[type[BaseModel]] = [*ANSWERS.values(), ErrorBody, Pending]
    refs_in, defs_in = models_json_schema([(each, "validation") for each in dict.fromkeys(bodies)], ref_template=_REF)
    refs_out, defs_out = models_json_schema(
        [(each, "serialization") for each in dict.fromkeys(answers)], ref_template=_REF
    )
    schemas = {**defs_out.get("$defs", {}), **defs_in.get("$defs", {})}
    _relax(defs_out.get("$defs", {}))
    body_refs = {model: ref for (model, _), ref in refs_in.items()}
    answer_refs = {model: ref for (model, _), ref in refs_out.items()}
    paths: dict[str, dict[str, Any]] = {}
    for each in listed:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, body_refs, answer_refs, builtin=builtin)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dagway", "version": version, "description": "Workflows: Dagu's REST API v2 and additions."},
        "servers": [{"url": base}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "a login, an API key or the static token",
                },
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{}, {"bearer": []}, {"basic": []}],
    }


def _relax(schemas: Mapping[str, Any]) -> None:
    """A field with a default is left out when it says nothing, though models for output would demand it."""
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
    doc = " ".join((operation.handler.__doc__ or "").split())
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": doc.partition(". ")[0].rstrip("."),
        "description": doc,
        "tags": [_tag(operation.path)],
        "parameters": [*_parameters(operation), *_headers(operation)],
        "responses": _responses(operation, answers),
        "x-minimum-role": operation.role,
    }
    if operation.permission is not None:
        described["x-permission"] = operation.permission
    if operation.role == "public" and (builtin or operation.id != "triggerWebhook"):
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
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(operation.path)
    ]
    if operation.query is not None:
        schema = operation.query.model_json_schema(by_alias=True)
        for name, field in schema.get("properties", {}).items():
            described = {key: value for key, value in field.items() if key not in {"title", "description"}}
            parameter = {"name": name, "in": "query", "required": False, "schema": described}
            if "description" in field:
                parameter["description"] = field["description"]
            found.append(parameter)
    found.append(
        {
            "name": "remoteNode",
            "in": "query",
            "required": False,
            "description": "the configured server to hand the request on to; local: this one",
            "schema": {"type": "string", "default": "local"},
        }
    )
    return found


def _headers(operation: Operation) -> list[dict[str, Any]]:
    kinds = {operation.id}
    if operation.method != "GET" or operation.permission is not None:
        kinds.add("write")
    if operation.id in _STREAMS:
        kinds.add("stream")
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, (kind, text) in _HEADERS.items()
        if kind in kinds
    ]


def _responses(operation: Operation, answers: Mapping[Any, Any]) -> dict[str, Any]:
    model = ANSWERS.get(operation.id)
    success = "201" if operation.id in _CREATES else "204" if operation.id in _NO_BODY else "200"
    good: dict[str, Any] = {"description": "done"}
    if model is not None:
        good["content"] = {"application/json": {"schema": answers[model]}}
    elif operation.id in _TEXT or operation.id in _STREAMS:
        good["content"] = {_TEXT.get(operation.id, "text/event-stream"): {"schema": {"type": "string"}}}
    elif operation.id == "getOpenAPI":
        good["content"] = {"application/json": {"schema": {"type": "object"}}}
    found = {success: good}
    if operation.id in _STREAMS:
        found["204"] = {"description": "the run has ended, and everything was sent"}
    write = operation.method != "GET" or operation.permission is not None
    if write and operation.id not in {"login", "validateDAGSpec"}:
        pending = {"application/json": {"schema": answers[Pending]}}
        found["202"] = {"description": "accepted and durable, the outcome not known yet", "content": pending}
    error = {"application/json": {"schema": answers[ErrorBody]}}
    failures = {"400": "the request cannot be accepted", "503": "the database or the broker is away"}
    if operation.role != "public" or operation.id in {"login", "triggerWebhook"}:
        failures |= {"401": "credentials are missing or wrong", "403": "not allowed"}
    if "{" in operation.path or operation.id == "triggerWebhook":
        failures["404"] = "there is nothing by that name"
    if operation.id in _CONFLICTS or write:
        failures["409"] = "the name or id is taken, or it is running already"
    if operation.body is not None:
        failures |= {"408": "the body did not come in time", "413": "the body is too large"}
    if operation.id == "updateDAGSpec":
        failures |= {"412": "the spec was changed meanwhile", "428": "If-Match is needed here"}
    if operation.id in {"login", "changePassword"}:
        failures["429"] = "too many failed logins"
    failures["502"] = "the remote node cannot be reached"
    found |= {status: {"description": why, "content": error} for status, why in failures.items()}
    return dict(sorted(found.items()))
