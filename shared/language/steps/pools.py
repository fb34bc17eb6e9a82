"""Read a step's ``pool``, ``lock`` and ``rateLimit``, which limit when the step may start. Dagu has none of them."""

import re

from shared.language.model import RateLimit
from shared.language.yaml.fields import Fields, Vocabulary, type_name
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["MOST_POOL_CHARS", "POOL_NAME_RULE", "read_pool_names", "read_rate_limits", "valid_pool_name"]

_RATE_LIMIT = Vocabulary("name", "limit", "intervalSec")
MOST_POOL_CHARS = 100
_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{MOST_POOL_CHARS}}}\Z")
POOL_NAME_RULE = f"1 to {MOST_POOL_CHARS} letters, digits, dots, dashes or underscores"
_MAX_STARTS = 10_000
"""Largest ``limit`` of a rate limit: the database keeps each start until its interval is over."""


def valid_pool_name(name: str) -> bool:
    """Return whether ``name`` may be the name of a pool, a lock or a rate limit."""
    return _NAME.match(name) is not None


def read_pool_names(fields: Fields, name: str) -> tuple[str, ...]:
    """Read the field ``name``, which is ``pool`` or ``lock``: one name, or a list of names."""
    found: list[str] = []
    for text in fields.texts(name, error=f"{name} must be a name or a list of names"):
        _add(fields, name, text.strip(), found)
    return tuple(found)


def read_rate_limits(fields: Fields) -> tuple[RateLimit, ...]:
    """Read ``rateLimit``: one rate limit, or a list of rate limits."""
    value = fields.get("rateLimit")
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    names: list[str] = []
    found = []
    for index, item in enumerate(items):
        if not isinstance(item, YamlMap):
            wanted = "a map with name, limit and intervalSec, or a list of such maps"
            message = f"expected {wanted}, got {type_name(item)}"
            at = value.item_at[index] if isinstance(value, YamlList) else fields.place("rateLimit")
            fields.issues.error(message, fields.sub("rateLimit"), at)
            continue
        path = fields.sub("rateLimit") + (f"[{index}]" if isinstance(value, list) else "")
        limit = _rate_limit(Fields(fields.issues, item, path, _RATE_LIMIT), names)
        if limit is not None:
            found.append(limit)
    return tuple(found)


def _rate_limit(inner: Fields, names: list[str]) -> RateLimit | None:
    for required in ("name", "limit", "intervalSec"):
        if inner.get(required) is None:
            inner.issues.error(f"rateLimit.{required} is required", inner.path, inner.at)
            return None
    name = _add(inner, "name", inner.text("name"), names)
    limit = inner.integer("limit", minimum=1)
    interval = inner.seconds("intervalSec")
    if interval <= 0:
        inner.error("intervalSec", "intervalSec must be more than 0")
        return None
    if limit > _MAX_STARTS:
        inner.error("limit", f"limit must be at most {_MAX_STARTS}", hint="use a shorter interval with fewer starts")
        return None
    return RateLimit(name=name, limit=limit, interval_sec=interval) if name and limit else None


def _add(fields: Fields, field: str, name: str, known: list[str]) -> str:
    if not valid_pool_name(name):
        fields.error(field, f"invalid {field}: '{name[:60]}'", hint=f"use {POOL_NAME_RULE}; variables are not expanded")
        return ""
    if name in known:
        fields.error(field, f"{field} '{name}' is listed twice")
        return ""
    known.append(name)
    return name
