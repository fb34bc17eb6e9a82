"""The tools that ``dagway mcp`` offers, made from the OpenAPI document of the server. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from shared.roles import ROLES

__all__ = ["ArgumentError", "GatewayRequest", "Tool", "tools_of"]

_REF = "#/components/schemas/"
_PARAMETER = re.compile(r"\{(\w+)\}")
_JSON = "application/json"
_BODY = "body"
_WORKSPACE = "workspace"
_KEY = "Idempotency-Key"
"""The header that the operations have which change something."""
_REPEATABLE = frozenset({"put", "delete"})
_DOT_SEGMENTS = frozenset({".", ".."})
_NOT_FOR_TOOLS = ("/auth/", "/webhooks/{fileName}", "/openapi.json", "/dags/{fileName}/start-sync")
"""Logging in, what authenticates by its own token or describes the API, and a start that may take a day."""


class ArgumentError(ValueError):
    """The arguments of a call do not fit its tool."""


@dataclass(frozen=True, slots=True)
class GatewayRequest:
    """What a call of a tool sends. ``body`` is ``None`` for a request without a body."""

    method: str
    path: str
    query: Mapping[str, Any]
    body: Any


@dataclass(frozen=True, slots=True)
class Tool:
    """One operation of the API as a tool. ``schema`` is the JSON Schema of its arguments."""

    name: str
    description: str
    method: str
    path: str
    schema: Mapping[str, Any]
    reads: bool
    adds: bool
    """Whether all that it may change is to create something. A start is none of these: steps may do anything."""
    repeatable: bool
    """Whether a second call with the same arguments changes nothing more."""
    query: Mapping[str, str] = field(default_factory=dict)
    """What is in the query of each call, and is no argument."""

    def request(self, arguments: Mapping[str, Any]) -> GatewayRequest:
        """Return the request for a call.

        Raises:
            ArgumentError: an argument is missing or cannot be in a path, or the tool does not have it.
        """
        known = self.schema["properties"]
        if unknown := sorted(set(arguments) - set(known)):
            raise ArgumentError(f"{self.name} has no argument {', '.join(unknown)}; it has: {', '.join(known)}")
        if missing := [name for name in self.schema["required"] if arguments.get(name) in (None, "")]:
            raise ArgumentError(f"{self.name} needs the argument {', '.join(missing)}")
        in_path = set(_PARAMETER.findall(self.path))
        # HTTP clients resolve such segments: the request would be for another operation, perhaps of a higher role.
        if dotted := [name for name in in_path if str(arguments[name]) in _DOT_SEGMENTS]:
            raise ArgumentError(f"{', '.join(sorted(dotted))}: must not be a dot or two")
        path = _PARAMETER.sub(lambda found: quote(str(arguments[found[1]]), safe=""), self.path)
        query = {name: value for name, value in arguments.items() if name not in in_path and name != _BODY}
        return GatewayRequest(self.method, path, {**query, **self.query}, arguments.get(_BODY))


def tools_of(document: Mapping[str, Any], role: str, *, workspace: str = "") -> list[Tool]:
    """Return the operations that ``role`` may use, as tools. For ``viewer`` none of them changes anything.

    With ``workspace``, the operations about a workspace are all about this one, and take no other as an argument.
    """
    rank = ROLES.index(role)
    schemas = document["components"]["schemas"]
    return [
        _tool(path, method, operation, schemas, workspace)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["x-minimum-role"] in ROLES[: rank + 1]
        and not path.startswith(_NOT_FOR_TOOLS)
        and _answers_json(operation)
    ]


def _answers_json(operation: Mapping[str, Any]) -> bool:
    """Whether it answers JSON or nothing: no event stream, page or metrics."""
    return all(
        _JSON in answer["content"]
        for status, answer in operation["responses"].items()
        if status.startswith("2") and answer.get("content")
    )


def _tool(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any], workspace: str) -> Tool:
    properties: dict[str, Any] = {}
    required = []
    for parameter in operation["parameters"]:
        if parameter["in"] != "header":
            described = {"description": parameter["description"]} if "description" in parameter else {}
            properties[parameter["name"]] = {**parameter["schema"], **described}
            if parameter["required"]:
                required.append(parameter["name"])
    if "requestBody" in operation:
        properties[_BODY] = operation["requestBody"]["content"][_JSON]["schema"]
        if operation["requestBody"]["required"]:
            required.append(_BODY)
    fixed = {_WORKSPACE: workspace} if workspace and properties.pop(_WORKSPACE, None) else {}
    used = {name: schemas[name] for name in sorted(_all_used(properties, schemas))}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if used:
        schema["$defs"] = used
    # A viewer's POST validates a spec, and Dagu's API has a GET that removes a run from its queue.
    writes = any(parameter["name"] == _KEY for parameter in operation["parameters"])
    return Tool(
        operation["operationId"],
        operation["description"],
        method.upper(),
        path,
        _local(schema),
        reads=operation["x-minimum-role"] == "viewer" or not writes,
        adds=operation["operationId"].startswith("create"),
        repeatable=method in _REPEATABLE,
        query=fixed,
    )


def _all_used(value: Any, schemas: Mapping[str, Any]) -> set[str]:
    """Return the names of the components that ``value`` refers to, directly or by another component."""
    found: set[str] = set()
    left = list(_refs(value))
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _refs(schemas[name])
    return found


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(_REF)
        yield from _refs_of_all(value.values())
    elif isinstance(value, list):
        yield from _refs_of_all(value)


def _refs_of_all(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        yield from _refs(value)


def _local(value: Any) -> Any:
    """Return ``value`` with references into its own ``$defs``."""
    if isinstance(value, Mapping):
        return {
            name: f"#/$defs/{each.removeprefix(_REF)}" if name == "$ref" and isinstance(each, str) else _local(each)
            for name, each in value.items()
        }
    return [_local(each) for each in value] if isinstance(value, list) else value
