"""An example of every message type, made from the declarations of its fields."""

import types
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Union, get_args, get_origin

from shared.contracts.base import Message, Part

__all__ = ["example_of"]

_SIMPLE: dict[Any, Any] = {str: "x", int: 1, float: 1.0, bool: False, bytes: b"x", Any: None}


def example_of(cls: type[Message], facts: Mapping[str, Any]) -> Message:
    """Return a message with the required fields of ``cls``, and those of ``facts`` that it has."""
    return cls(**_fields(cls, facts))


def _fields(cls: type[Part], facts: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: facts[name] for name, field in cls.model_fields.items() if _fits(facts.get(name), field.annotation)}
    needed = {name: field for name, field in cls.model_fields.items() if field.is_required() and name not in given}
    return given | {name: _value(field.annotation) for name, field in needed.items()}


def _fits(value: Any, kind: Any) -> bool:
    return value is not None and (get_origin(kind) is not Literal or value in get_args(kind))


def _value(kind: Any) -> Any:
    origin = get_origin(kind)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind is datetime:
        return datetime.now(UTC)
    if origin is Literal:
        return get_args(kind)[0]
    if origin in (Union, types.UnionType):
        return None if type(None) in get_args(kind) else _value(get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, Part):
        return kind(**_fields(kind, {}))
    return origin()
