"""Read ``params``: in a dag the parameters with their defaults, in a step the parameters of its ``call``."""

import json
from typing import Any

from shared.language.expansion.params_syntax import (
    is_reference,
    json_scalar_text,
    make_param,
    parse_json,
    parse_params_text,
    quote_pairs,
)
from shared.language.model import Param
from shared.language.yaml.fields import Fields, Vocabulary, plain, scalar_text, type_name
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["inline_schema", "read_call_params", "read_params"]

_SCHEMA = Vocabulary("schema", "values")


def read_params(fields: Fields) -> tuple[tuple[Param, ...], str]:
    """Read a dag's ``params`` in any of its forms.

    Return the parameters with their defaults, and the JSON Schema that they must satisfy: its file or URL, or its JSON
    text if the spec contains it; empty if there is none.
    """
    value = fields.get("params")
    if value is None:
        return (), ""
    if isinstance(value, YamlMap) and "schema" in value:
        return _read_schema_form(fields)
    if isinstance(value, YamlMap):
        return tuple(_from_map(value)), ""
    return _checked_unique(fields, _from_text_or_list(fields, "params")), ""


def _read_schema_form(fields: Fields) -> tuple[tuple[Param, ...], str]:
    inner = fields.mapping("params", _SCHEMA)
    if inner is None:
        return (), ""
    schema = _read_schema(inner)
    values = inner.get("values")
    params = _from_map(values) if isinstance(values, YamlMap) else _from_text_or_list(inner, "values")
    return tuple(params), schema


def _read_schema(inner: Fields) -> str:
    """Return the file or URL of the schema, or its JSON text if the spec contains a valid schema itself."""
    written = inner.get("schema")
    if not isinstance(written, YamlMap):
        return inner.text("schema")
    # Imported here, because the import takes 0.1 s and few DAGs have a schema.
    from jsonschema import SchemaError  # noqa: PLC0415

    from shared.language.json_schema import checked_validator  # noqa: PLC0415

    text = json.dumps(written, default=str)
    schema = json.loads(text)
    try:
        checked_validator(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path))
        inner.error("schema", f"not a valid JSON Schema: {f'{place}: ' if place else ''}{error.message}")
        return ""
    return text


def inline_schema(schema_ref: str) -> dict[str, Any] | None:
    """Return the schema that the spec itself contains; ``None`` if it is in a file, at a URL, or if there is none."""
    if not schema_ref.startswith("{"):
        return None
    schema: dict[str, Any] = json.loads(schema_ref)
    return schema


def _from_text_or_list(fields: Fields, name: str) -> list[Param]:
    value = fields.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return parse_params_text(value)[0]
    if not isinstance(value, list):
        fields.error(name, f"invalid parameter value: {type_name(value)}")
        return []
    found: list[Param] = []
    above = 0
    for index, item in enumerate(value):
        if isinstance(value, YamlList) and index == value.inherited:
            # Positional parameters count separately in the base configuration and in the file: the file's first
            # parameter replaces the base's first.
            above = len(found)
        if isinstance(item, dict):
            found.extend(_from_map(item))
        elif isinstance(item, list):
            fields.error(name, "invalid parameter value: list")
        else:
            for param in parse_params_text(scalar_text(item))[0]:
                found.append(make_param(None if param.positional else param.name, param.value, len(found) - above))
    return found


def _from_map(mapping: dict[str, Any]) -> list[Param]:
    # The language sorts the parameters of a map by name, wherever the map is.
    return [Param(name=key, value=json_scalar_text(plain(value))) for key, value in sorted(mapping.items())]


def _checked_unique(fields: Fields, params: list[Param]) -> tuple[Param, ...]:
    seen: set[str] = set()
    for param in params:
        if param.name in seen:
            fields.warn("params", f'parameter "{param.name}" is given twice', hint="the later value is used")
        seen.add(param.name)
    return tuple(params)


def read_call_params(fields: Fields) -> tuple[str, tuple[tuple[str, str], ...] | None]:
    """Read a step's ``params``. Return them as text, and as (name, value) pairs.

    The text is split into pairs before variables are expanded, so the value of a variable stays one parameter even if
    it contains spaces. Return ``None`` as pairs if the text can be split only after expansion: if it is a single
    variable, or becomes JSON by expansion.
    """
    value = fields.get("params")
    if value is None:
        return "", None
    if isinstance(value, str):
        text = value.strip()
        if is_reference(text) or (text[:1] in ("{", "[") and parse_json(text) is None):
            return text, None
        params = parse_params_text(text)[0]
    elif isinstance(value, YamlMap):
        params = _from_map(value)
    else:
        params = _from_text_or_list(fields, "params")
    pairs = tuple((param.name, param.value) for param in params)
    positional = frozenset(param.name for param in params if param.positional)
    return quote_pairs(pairs, positional), pairs
