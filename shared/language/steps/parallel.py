"""Read ``parallel``: the items of a fan-out, for each of which a ``call`` step starts a sub-run."""

import json
from collections.abc import Mapping
from typing import Any

from shared.language.model import Parallel
from shared.language.yaml.fields import Fields, Vocabulary, is_scalar, scalar_text

__all__ = ["PARALLEL_KEYS", "count_error", "item_of_map", "read_parallel"]

_MAX_ITEMS = 1000

PARALLEL_KEYS = Vocabulary("items", "maxConcurrent")
_FORMS = "parallel must have either items array or variable reference"


def count_error(items: int) -> str:
    """Return why a fan-out cannot have so many items; empty if it can."""
    if not items:
        return "parallel execution requires at least one item"
    if items > _MAX_ITEMS:
        return f"parallel execution exceeds maximum limit: {items} items (max: {_MAX_ITEMS})"
    return ""


def read_parallel(fields: Fields) -> Parallel | None:
    """Read ``parallel``: a reference to a variable, a list of items, or a map with ``items`` and ``maxConcurrent``."""
    value = fields.get("parallel")
    if value is None:
        return None
    if not isinstance(value, dict):
        return _with_items(fields, "parallel", value, 10)
    inner = fields.mapping("parallel", PARALLEL_KEYS, unknown="ignore")
    if inner is None:
        return None
    max_concurrent = inner.integer("maxConcurrent", 10)
    if max_concurrent <= 0:
        inner.error("maxConcurrent", f"maxConcurrent must be greater than 0 (value: {max_concurrent})")
        max_concurrent = 10
    return _with_items(inner, "items", inner.get("items"), max_concurrent)


def item_of_map(texts: Mapping[str, object]) -> str:
    """Return the item for a map of texts: JSON with sorted keys. The sub-run's id is made from it."""
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _with_items(fields: Fields, name: str, value: Any, max_concurrent: int) -> Parallel | None:
    if isinstance(value, str) and value.strip():
        return Parallel(variable=value.strip(), max_concurrent=max_concurrent)
    if not isinstance(value, list):
        fields.error(name, _FORMS)
        return None
    if wrong := count_error(len(value)):
        fields.error(name, wrong)
    items = [text for item in value if (text := _item(fields, name, item)) is not None]
    return Parallel(items=tuple(items), max_concurrent=max_concurrent)


def _item(fields: Fields, name: str, item: Any) -> str | None:
    if isinstance(item, dict) and all(is_scalar(inner) for inner in item.values()):
        return item_of_map({key: scalar_text(inner) for key, inner in item.items()})
    if is_scalar(item):
        return scalar_text(item)
    fields.error(name, "parallel items must be strings, numbers, or objects of scalars")
    return None
