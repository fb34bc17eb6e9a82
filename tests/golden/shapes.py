"""The shapes of messages and tables as lines of text, and whether two versions of them work side by side.

During an upgrade processes of both versions exchange messages and use the same database. So a message of either version
must be readable by the other, and rows that the earlier version inserts must be accepted.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Column, MetaData

from shared.contracts.base import Message

__all__ = ["message_lines", "message_problems", "table_lines", "table_problems"]

REQUIRED, OPTIONAL = "required", "optional"
NOT_NULL, FREE = "must be given", "may be left out"


def message_lines(types: Mapping[str, type[Message]]) -> list[str]:
    """Return one line for each field of each message: its path, whether it is required, and its types."""
    return sorted(
        f"{name} {path} {need} {kinds}"
        for name, message in types.items()
        for path, (need, kinds) in {"": (REQUIRED, "object"), **dict(_fields(message.model_json_schema()))}.items()
    )


def message_problems(before: list[str], now: list[str]) -> list[str]:
    """Return why messages of one version cannot be read by the other."""
    old, new = _parsed(before), _parsed(now)
    found = []
    for place, (need, kinds) in old.items():
        if place not in new:
            if need == REQUIRED and _parent_in(place, new):
                found.append(f"{_name(place)}: the earlier version requires it, and it is gone")
        elif new[place][1] != kinds:
            found.append(f"{_name(place)}: was {kinds}, is {new[place][1]}")
        elif (need, new[place][0]) == (OPTIONAL, REQUIRED):
            found.append(f"{_name(place)}: the earlier version may leave it out, and it is required now")
    for place, (need, _) in new.items():
        if place not in old and need == REQUIRED and place[1] and _parent_in(place, old):
            found.append(f"{_name(place)}: the earlier version does not send it, and it is required")
    return found


def table_lines(metadata: MetaData) -> list[str]:
    """Return one line for each column of each table: its type, and whether an INSERT must give a value."""
    return sorted(
        f"{table.name}.{column.name} {NOT_NULL if _must_be_given(column) else FREE} {column.type!r}"
        for table in metadata.tables.values()
        for column in table.columns
    )


def table_problems(before: list[str], now: list[str]) -> list[str]:
    """Return why the earlier version cannot work on the schema of this one."""
    old, new = ({line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines} for lines in (before, now))
    tables = {place.partition(".")[0] for place in old}
    found = [f"{place}: the earlier version uses it, and it is gone" for place in old if place not in new]
    found += [
        f"{place}: was {old[place]}, is {new[place]}" for place in old if place in new and new[place] != old[place]
    ]
    found += [
        f"{place}: the earlier version does not know it, and it has no default"
        for place, facts in new.items()
        if place not in old and place.partition(".")[0] in tables and facts.startswith(NOT_NULL)
    ]
    return found


def _must_be_given(column: "Column[Any]") -> bool:
    return not column.nullable and column.server_default is None and column.identity is None


def _parsed(lines: list[str]) -> dict[tuple[str, str], tuple[str, str]]:
    parts = (line.split(" ", 3) for line in lines)
    return {(name, path): (need, kinds) for name, path, need, kinds in parts}


def _name(place: tuple[str, str]) -> str:
    return f"{place[0]}: {place[1]}" if place[1] else place[0]


def _parent_in(place: tuple[str, str], shape: Mapping[tuple[str, str], object]) -> bool:
    """Return whether a shape has the message, or the part of it that has the field."""
    name, path = place
    return not path or (name, path.rpartition(".")[0]) in shape


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield path, need and types of each field below a message. A part that contains itself is described once."""
    parts = schema.get("$defs", {})

    def below(part: Mapping[str, Any], path: str, seen: frozenset[str]) -> Iterator[tuple[str, tuple[str, str]]]:
        for name, value in part.get("properties", {}).items():
            at = f"{path}.{name}" if path else name
            need = REQUIRED if name in part.get("required", ()) else OPTIONAL
            kinds: set[str] = set()
            inner = list(_inner(value, at, kinds, seen))
            yield at, (need, "|".join(sorted(kinds)))
            for child, child_path, child_seen in inner:
                yield from below(child, child_path, child_seen)

    def _inner(
        value: Mapping[str, Any], path: str, kinds: set[str], seen: frozenset[str]
    ) -> Iterator[tuple[Mapping[str, Any], str, frozenset[str]]]:
        if "$ref" in value:
            name = value["$ref"].rpartition("/")[2]
            if name in seen:
                kinds.add("itself")
                return
            value, seen = parts[name], seen | {name}
        for choice in (*value.get("anyOf", ()), *value.get("oneOf", ())):
            yield from _inner(choice, path, kinds, seen)
        if "enum" in value or "const" in value:
            kinds.update(f"'{one}'" for one in value.get("enum", [value.get("const")]))
        elif value.get("type") == "array":
            kinds.add("array")
            for item in (value.get("items"), *value.get("prefixItems", ())):
                yield from _kinds_inside(item, path, "[]", kinds, seen)
        elif value.get("type") == "object" and "properties" not in value:
            kinds.add("map")
            yield from _kinds_inside(value.get("additionalProperties"), path, "{}", kinds, seen)
        elif "properties" in value:
            kinds.add("object")
            yield value, path, seen
        elif "anyOf" not in value and "oneOf" not in value:
            kinds.add(f"{value.get('type', 'anything')}{':' + value['format'] if 'format' in value else ''}")

    def _kinds_inside(
        value: Any, path: str, mark: str, kinds: set[str], seen: frozenset[str]
    ) -> Iterator[tuple[Mapping[str, Any], str, frozenset[str]]]:
        if isinstance(value, dict):
            inside: set[str] = set()
            yield from _inner(value, path, inside, seen)
            kinds.update(f"{mark}{kind}" for kind in inside)

    yield from below(schema, "", frozenset())
