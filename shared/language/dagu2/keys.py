"""Keys in snake case, and maps that keep the places of what they are made from."""

from collections.abc import Mapping
from typing import Any

from shared.language.issues import Place
from shared.language.yaml.fields import Vocabulary
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["copy_of", "known_as", "list_at", "put", "renamed"]


def known_as(key: str, vocabulary: Vocabulary) -> str:
    """Return the name in ``vocabulary`` that ``key`` means, in snake case or in another letter case, or an empty text.

    >>> known_as("skip_tls_verify", Vocabulary("skipTLSVerify"))
    'skipTLSVerify'
    """
    return vocabulary.by_lower.get(key.replace("_", "").lower(), "")


def put(into: YamlMap, key: str, value: Any, key_at: Place, value_at: Place | None = None) -> None:
    """Set a field with its places. The value's place is that of the key unless it is given."""
    into[key] = value
    into.key_at[key] = key_at
    into.value_at[key] = key_at if value_at is None else value_at


def copy_of(source: Mapping[str, Any], key: str, into: YamlMap, name: str = "") -> None:
    """Copy a field of ``source`` with its places, under another ``name`` if one is given."""
    assert isinstance(source, YamlMap)  # noqa: S101 - the reader makes no other maps
    put(into, name or key, source[key], source.key_at.get(key, source.at), source.value_at.get(key, source.at))


def list_at(at: Place, items: list[Any], places: list[Place] | None = None) -> YamlList:
    """Return a list whose items have the given places, or else that of the list."""
    made = YamlList(at)
    made.extend(items)
    made.item_at.extend(places if places is not None else [at] * len(items))
    return made


def renamed(value: Any, *, deep: bool = False) -> Any:
    """Return ``value`` with the keys of a map in camel case; with ``deep`` those of maps in it too."""
    if isinstance(value, YamlList) and deep:
        made = list_at(value.at, [renamed(item, deep=True) for item in value], list(value.item_at))
        made.inherited = value.inherited
        return made
    if not isinstance(value, YamlMap):
        return value
    found = YamlMap(value.at)
    for key in value:
        copy_of(value, key, found, _camel(key))
        if deep:
            found[_camel(key)] = renamed(value[key], deep=True)
    return found


def _camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest) if head else key
