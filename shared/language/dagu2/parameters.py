"""``params`` of Dagu 2: declarations with types become a JSON Schema and default values."""

from collections.abc import Iterator
from typing import Any

from shared.language.dagu2.keys import copy_of, put
from shared.language.dagu2.steps import back_quoted
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["declared_params", "param_names"]

_DECLARATION = frozenset({"type", "default", "eval", "required", "enum", "description"})


def declared_params(value: Any) -> Any:
    """Return ``params`` in a form of this language.

    A JSON Schema, or a list with declarations such as ``{name: n, type: integer, default: 3}``, becomes ``schema`` and
    ``values``. Any other form stays as it is.
    """
    if isinstance(value, YamlMap) and value.get("type") == "object" and isinstance(value.get("properties"), YamlMap):
        return _with_schema(value, value, value["properties"])
    if not isinstance(value, YamlList) or not any(_is_declaration(item) for item in value):
        return value
    schema, properties = YamlMap(value.at), YamlMap(value.at)
    required = YamlList(value.at)
    for item in value:
        if _is_declaration(item):
            put(properties, item["name"], item, item.at)
            if item.get("required") is True:
                required.append(item["name"])
                required.item_at.append(item.at)
        elif isinstance(item, YamlMap):
            for key in item:
                one = YamlMap(item.at)
                copy_of(item, key, one, "default")
                put(properties, key, one, item.at)
    put(schema, "type", "object", value.at)
    if required:
        put(schema, "required", required, value.at)
    return _with_schema(value, schema, properties)


def _with_schema(value: YamlMap | YamlList, schema: YamlMap, properties: YamlMap) -> YamlMap:
    made, whole, checks, values = (YamlMap(value.at) for _ in range(4))
    for key in schema:
        if key != "properties":
            copy_of(schema, key, whole)
    for name, item in properties.items():
        rules = YamlMap(properties.at)
        for key in item if isinstance(item, YamlMap) else ():
            if key in ("default", "eval"):
                copy_of(item, key, values, name)
                values[name] = back_quoted(item[key])
            elif key != "name" and not (key == "required" and isinstance(item[key], bool)):
                copy_of(item, key, rules)
        put(checks, name, rules, properties.key_at[name])
    put(whole, "properties", checks, value.at)
    put(made, "schema", whole, value.at)
    put(made, "values", values, value.at)
    return made


def _is_declaration(item: Any) -> bool:
    return isinstance(item, YamlMap) and isinstance(item.get("name"), str) and not _DECLARATION.isdisjoint(item)


def param_names(value: Any) -> Iterator[str]:
    """Yield the names of the parameters that ``params`` declares by name."""
    found = declared_params(value)
    if isinstance(found, YamlMap) and "schema" in found:
        schema = found["schema"]
        yield from schema.get("properties") or () if isinstance(schema, YamlMap) else ()
    for item in found if isinstance(found, YamlList) else [found]:
        if isinstance(item, YamlMap) and "schema" not in item:
            yield from item
        elif isinstance(item, str) and "=" in item:
            yield item.partition("=")[0].strip()
