"""The written forms of parameters, and the tokenizer that defaults and overrides share.

Nothing is evaluated here: a back-quoted command stays text. Positional parameters are named by
their 1-based place in their own input. Single quotes are ordinary characters to the tokenizer.
"""

import json
import re
from typing import Any

from shared.language.model import ModelPart, Param
from shared.language.yaml.fields import Fields, Vocabulary, is_scalar, scalar_text, type_name
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = [
    "DeclaredParams",
    "is_reference",
    "json_scalar_text",
    "parse_json",
    "parse_params_text",
    "quote_pairs",
    "read_call_params",
    "read_params",
]

# Neither quotes nor backticks in a name: keeps the search linear on hostile text.
_TOKEN = re.compile(r'(?:([^\s="`]+)=)?("(?:\\"|[^"])*"|`(?:\\"|[^`])*`|[^"\s]+)')
_SCHEMA = Vocabulary("schema", "values")
_REFERENCE = re.compile(r"\$(?:\{[^{}\s]+\}|[A-Za-z0-9_]+(?:\.\S+)?)\Z")


class DeclaredParams(ModelPart):
    """The default parameters of a dag, and the schema they must satisfy (empty: none)."""

    params: tuple[Param, ...] = ()
    schema_ref: str = ""


def parse_params_text(text: str) -> tuple[list[Param], bool]:
    """Split a parameter text; also tell whether it was JSON.

    A JSON object gives named parameters, a JSON array positional and named ones. Text that looks
    like JSON but is not falls back to the shell-like form ``KEY=value K2="quoted" positional``.
    """
    trimmed = text.strip()
    if trimmed[:1] in ("{", "["):
        value = parse_json(trimmed)
        if isinstance(value, dict):
            return [Param(name=key, value=json_scalar_text(item)) for key, item in value.items()], True
        if isinstance(value, list):
            return _from_json_list(value), True
    found: list[Param] = []
    for match in _TOKEN.finditer(trimmed):
        name, value = match[1], match[2]
        if value.startswith('"'):
            value = value[1:-1].replace('\\"', '"')
        found.append(_param(name, value, len(found)))
    return found, False


def _param(name: str | None, value: str, index: int) -> Param:
    return Param(name=name, value=value) if name else Param(name=str(index + 1), value=value, positional=True)


def parse_json(text: str) -> Any:
    """Return the parsed JSON with numbers as their literal text, or ``None``."""
    try:
        # Numbers keep their spelling: 1000000 must not come back as 1e+06.
        return json.loads(text, parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal)
    except (ValueError, RecursionError):
        return None


class _Literal(str):
    """A number of a JSON text, as it was spelled."""

    __slots__ = ()


def _from_json_list(value: list[Any]) -> list[Param]:
    found: list[Param] = []
    for item in value:
        if isinstance(item, dict):
            found.extend(Param(name=key, value=json_scalar_text(inner)) for key, inner in item.items())
        else:
            found.append(_param(None, json_scalar_text(item), len(found)))
    return found


def json_scalar_text(value: Any) -> str:
    """Write a JSON value as text: strings raw, null empty, objects and arrays as compact JSON."""
    if value is None or isinstance(value, str | bool | int | float):
        return scalar_text(value)
    return _compact(value)


def _compact(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(k), ensure_ascii=False)}:{_compact(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_compact(item) for item in value) + "]"
    return str(value) if isinstance(value, _Literal) else json.dumps(value, ensure_ascii=False)


def read_params(fields: Fields) -> DeclaredParams:
    """Read a dag's ``params`` in any of its forms."""
    value = fields.get("params")
    if value is None:
        return DeclaredParams()
    if isinstance(value, YamlMap) and "schema" in value:
        return _read_schema_form(fields)
    if isinstance(value, YamlMap):
        # Sorted: the order the language documents for maps.
        return DeclaredParams(params=tuple(_from_map(fields, "params", dict(sorted(value.items())))))
    return DeclaredParams(params=_checked_unique(fields, _from_text_or_list(fields, "params")))


def _read_schema_form(fields: Fields) -> DeclaredParams:
    inner = fields.mapping("params", _SCHEMA)
    if inner is None:
        return DeclaredParams()
    schema = inner.text("schema")
    values = inner.get("values")
    if isinstance(values, YamlMap):
        return DeclaredParams(params=tuple(_from_map(inner, "values", values)), schema_ref=schema)
    return DeclaredParams(params=tuple(_from_text_or_list(inner, "values")), schema_ref=schema)


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
            # A place is one in its own document: the first of the file means the first of the base.
            above = len(found)
        if isinstance(item, dict):
            found.extend(_from_map(fields, f"{name}[{index}]", item))
        elif isinstance(item, list):
            fields.error(name, "invalid parameter value: list")
        else:
            for param in parse_params_text(scalar_text(item))[0]:
                found.append(_param(None if param.positional else param.name, param.value, len(found) - above))
    return found


def _from_map(fields: Fields, name: str, mapping: dict[str, Any]) -> list[Param]:
    found: list[Param] = []
    for key, value in mapping.items():
        if not is_scalar(value):
            fields.error(name, f"invalid parameter value: {type_name(value)}", hint=f'parameter "{key}"')
        else:
            found.append(Param(name=key, value=scalar_text(value)))
    return found


def _checked_unique(fields: Fields, params: list[Param]) -> tuple[Param, ...]:
    seen: set[str] = set()
    for param in params:
        if param.name in seen:
            fields.warn("params", f'parameter "{param.name}" is given twice', hint="the later value is used")
        seen.add(param.name)
    return tuple(params)


def read_call_params(fields: Fields) -> tuple[str, tuple[tuple[str, str], ...] | None]:
    """Read a step's ``params``: the text form, and the pairs it stands for.

    They are split before anything is expanded: what a variable holds is one value, blanks and all.
    Two texts have no pairs: one that is a variable and nothing else, and JSON that variables complete.
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
        # Sorted, as a dag's own are.
        params = _from_map(fields, "params", dict(sorted(value.items())))
    else:
        params = _from_text_or_list(fields, "params")
    pairs = tuple((param.name, param.value) for param in params)
    positional = frozenset(param.name for param in params if param.positional)
    return quote_pairs(pairs, positional), pairs


def is_reference(text: str) -> bool:
    """Whether ``text`` is a variable and nothing else."""
    return _REFERENCE.match(text) is not None


def quote_pairs(pairs: tuple[tuple[str, str], ...], positional: frozenset[str] = frozenset()) -> str:
    """Return ``K="V"`` texts joined by spaces; those named in ``positional`` without their name."""
    parts = []
    for name, value in pairs:
        quoted = '"' + value.replace('"', '\\"') + '"'
        parts.append(quoted if name in positional else f"{name}={quoted}")
    return " ".join(parts)
