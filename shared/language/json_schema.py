"""JSON Schemas whose patterns are those of RE2, as in Dagu: no schema can stop the process that reads or applies it.

Python's patterns can take for ever, and meanwhile hold up all threads. So the keywords that use them are replaced, for
all versions of JSON Schema, because a part of a schema may name another version than the whole. References can double
the work with each level, so only so many are followed. Import this module inside functions: the library takes 0.1 s,
and few DAGs have a schema.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Any

from jsonschema import (
    Draft3Validator,
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    FormatChecker,
    SchemaError,
    ValidationError,
)
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validates, validator_for

from shared.language.patterns import PatternError, compile_pattern

__all__ = ["checked_validator", "limited"]

_MOST_FOLLOWED = 50_000
"""How many references are followed for one value: some seconds of work."""
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_followed: ContextVar[Iterator[int] | None] = ContextVar("followed", default=None)
"""Counts the references that are followed within ``limited``."""
_FORMATS = FormatChecker(formats=())
_FORMATS.checks("regex", raises=PatternError)(lambda it: not isinstance(it, str) or compile_pattern(it) is not None)


def checked_validator(schema: Mapping[str, Any]) -> type[Validator]:
    """Return the class that validates by ``schema``. Raises ``SchemaError`` if ``schema`` is no valid JSON Schema."""
    named = schema.get("$schema", "")
    try:
        found: Any = validator_for(schema, default=_LATEST) if isinstance(named, str) else None
    except ValueError:
        found = None
    if found is None:
        raise SchemaError(f"$schema must be the URL of a version of JSON Schema, not {named!r}")
    found.check_schema(schema, format_checker=_FORMATS)
    return found  # type: ignore[no-any-return]


@contextmanager
def limited() -> Iterator[None]:
    """Make the validation of one value raise ``SchemaError`` if it would follow too many references.

    Elsewhere they are not counted: other parts of this process may use the library too, and the size of a schema that
    is checked is limited.
    """
    token = _followed.set(count(1))
    try:
        yield
    finally:
        _followed.reset(token)


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(value, str) and not compile_pattern(pattern).search(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, schemas: Mapping[str, Any], value: Any, _schema: Any) -> Iterator[Any]:
    for pattern, schema in schemas.items() if isinstance(value, dict) else ():
        for name, inner in value.items():
            if compile_pattern(pattern).search(name):
                yield from validator.descend(inner, schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    if not isinstance(value, dict) or allowed is True:
        return
    patterns = [compile_pattern(pattern) for pattern in schema.get("patternProperties", ())]
    named = schema.get("properties", ())
    extra = [name for name in value if name not in named and not any(each.search(name) for each in patterns)]
    if isinstance(allowed, dict):
        for name in extra:
            yield from validator.descend(value[name], allowed, path=name)
    elif extra:
        yield ValidationError(f"additional properties are not allowed: {', '.join(map(repr, extra))}")


def _unique_items(_validator: Any, unique: Any, value: Any, _schema: Any) -> Iterator[Any]:
    # The library compares each item with each other one.
    if unique and isinstance(value, list) and len({_comparable(item) for item in value}) < len(value):
        yield ValidationError("the items are not unique")


def _comparable(value: Any) -> Any:
    """Return what is equal and has the same hash for values that are equal in JSON: 1 is 1.0, and not true."""
    if isinstance(value, dict):
        return frozenset((name, _comparable(inner)) for name, inner in value.items())
    return tuple(map(_comparable, value)) if isinstance(value, list) else (type(value) is bool, value)


def _unevaluated_properties(_validator: Any, _allowed: Any, _value: Any, _schema: Any) -> Iterator[Any]:
    raise SchemaError("unevaluatedProperties is not supported: use additionalProperties")


_QUICK = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}


def _counted(follow: Callable[..., Any]) -> Callable[..., Any]:
    def counted(validator: Any, reference: Any, value: Any, schema: Any) -> Any:
        counter = _followed.get()
        if counter is not None and next(counter) > _MOST_FOLLOWED:
            raise SchemaError(f"more than {_MOST_FOLLOWED:,} references would have to be followed")
        return follow(validator, reference, value, schema)

    return counted


def _replace(standard: Any, version: str) -> Any:
    """Return ``standard`` with RE2 and limits. From now on the library takes it wherever a schema names its version."""
    known = standard.VALIDATORS
    more: dict[str, Any] = {name: _counted(known[name]) for name in _REFERENCES if name in known}
    if "unevaluatedProperties" in known:
        more["unevaluatedProperties"] = _unevaluated_properties
    return validates(version)(extend(standard, {**_QUICK, **more}))  # type: ignore[no-untyped-call]


_replace(Draft3Validator, "draft3")
_replace(Draft4Validator, "draft4")
_replace(Draft6Validator, "draft6")
_replace(Draft7Validator, "draft7")
_replace(Draft201909Validator, "draft2019-09")
_LATEST = _replace(Draft202012Validator, "draft2020-12")
