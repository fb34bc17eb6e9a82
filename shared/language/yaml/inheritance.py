"""Merge the base configuration into a document, before the defaults of the language apply.

Lists of texts are joined, with the items of the base first. Maps are merged field by field. Other lists and scalars of
the document replace those of the base unless they are empty.
Source: docs/workflow-language.md#base-configuration.
"""

from dataclasses import replace
from typing import Any

from shared.language.issues import BASE, Issues, Place, TooManyIssues
from shared.language.yaml.reader import YamlList, YamlMap, read_yaml

__all__ = ["inherit", "read_base"]

_JOINED = frozenset({"env", "tags", "params", "dotenv", "to", "shellargs"})
_WHOLE = frozenset({"mailon", "steps", "preconditions", "precondition", "schedule", "secrets", "shell"})
_NEVER = frozenset({"name"})
_HANDLERS = "handleron"
_CONDITIONS = frozenset({"preconditions", "precondition"})
"""The two keys of the list of preconditions: if the document has either, those of the base do not apply."""
_NONE: tuple[Any, ...] = (None, "", [])
_ALIASES = {"abort": "cancel", "cancel": "abort"}


def read_base(text: str, issues: Issues) -> YamlMap | None:
    """Return the mapping in the base configuration, or ``None`` if there is none.

    Every problem in the mapping, found now or later, has the base configuration as its source.
    """
    own = Issues()
    try:
        documents = read_yaml(text, own, in_base=True)
    except TooManyIssues:
        documents = []
    issues.found.extend(replace(found, source=BASE) for found in own.found)
    value = documents[0].value if documents else None
    if value is not None and not isinstance(value, YamlMap):
        issues.error("the base configuration must be a map of fields", at=documents[0].at)
        return None
    return value


def inherit(base: YamlMap, child: YamlMap, *, handlers: bool) -> YamlMap:
    """Return ``child`` merged with ``base``. ``handlers``: whether the handlers of ``base`` apply."""
    dropped = _NEVER if handlers else _NEVER | {_HANDLERS}
    return _merge(base, child, dropped)


def _merge(base: YamlMap, child: YamlMap, dropped: frozenset[str] = frozenset()) -> YamlMap:
    merged = YamlMap(child.at)
    for key, value in child.items():
        _put(merged, key, value, child, key)
    own = {key.lower(): key for key in child}
    asks = any(child[own[word]] not in _NONE for word in _CONDITIONS & own.keys())
    for key, value in base.items():
        word = key.lower()
        if word in dropped or (asks and word in _CONDITIONS):
            continue
        if word not in own:
            _put(merged, key, value, base, key)
            continue
        name = own[word]
        joined = _join(word, value, child[name], (base.value_at.get(key, base.at), child.value_at.get(name, child.at)))
        source, place = (base, key) if joined is value else (child, name)
        _put(merged, name, joined, source, place)
    return merged


def _put(merged: YamlMap, name: str, value: Any, source: YamlMap, key: str) -> None:
    merged[name] = value
    merged.key_at[name] = source.key_at.get(key, source.at)
    merged.value_at[name] = source.value_at.get(key, source.at)


def _join(word: str, base: Any, child: Any, places: tuple[Place, Place]) -> Any:
    if word == _HANDLERS and isinstance(base, YamlMap) and isinstance(child, YamlMap):
        return _handlers(base, child)
    if word in _WHOLE:
        return base if child in _NONE else child
    if word in _JOINED and not _is_schema(base) and not _is_schema(child):
        return _joined((base, child), places)
    if isinstance(base, YamlMap) and isinstance(child, YamlMap):
        return _merge(base, child)
    return base if child in (None, "", 0, False) or child == [] else child


def _handlers(base: YamlMap, child: YamlMap) -> YamlMap:
    """Merge handlers. A handler of the document replaces the base's handler of the same name entirely.

    An empty one, such as a key of which only the name is left, replaces nothing.
    """
    filled = [key for key in child if child[key] not in (None, {})]
    own = {key.lower() for key in filled}
    merged = YamlMap(child.at)
    for key in base:
        if key.lower() not in own and _ALIASES.get(key.lower(), "") not in own:
            _put(merged, key, base[key], base, key)
    for key in filled:
        _put(merged, key, child[key], child, key)
    return merged


def _is_schema(value: Any) -> bool:
    return isinstance(value, YamlMap) and "schema" in value


def _joined(values: tuple[Any, Any], places: tuple[Place, Place]) -> Any:
    both = YamlList(places[1])
    for value, at in zip(values, places, strict=True):
        both.inherited = len(both)
        items = list(value) if isinstance(value, list) else [] if value is None or value == "" else [value]
        both.extend(items)
        both.item_at.extend(value.item_at if isinstance(value, YamlList) else [at] * len(items))
    return both
