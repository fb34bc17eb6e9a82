"""Typed readers for the fields of a YAML mapping. A wrong value becomes an issue, never an exception.

A reader returns the value of a field, or reports what is wrong and returns the default. So one pass over a document
finds every problem. A key in another letter case is accepted with a warning.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from shared.language.issues import Issues, Place, did_you_mean
from shared.language.yaml.reader import NumericText, YamlList, YamlMap

__all__ = ["Fields", "Readers", "Vocabulary", "is_scalar", "plain", "read_each", "scalar_text", "type_name"]

T = TypeVar("T", bound=str)

_INTEGER = re.compile(r"[-+]?[0-9]+")
_EXPONENT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")
"""A number without a point is text, as in Dagu: it may be a commit hash."""
_INT_LIMIT = 2**53
"""Largest number of a field: JSON parsers lose digits of larger numbers."""

SECONDS_LIMIT = 10**9
"""Largest duration of a field, about 31 years: longer ones overflow date arithmetic."""


_OTHER_VERSIONS = {
    "functions": "make each function a workflow, and start it with call",
    "defaults": "use a base configuration or YAML anchors instead",
}
"""Keys of other versions of Dagu's language, and what to write instead."""


class Vocabulary:
    """The keys that a mapping of one kind may have."""

    __slots__ = ("by_lower", "names")

    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)
        self.by_lower = {name.lower(): name for name in names}


class Fields:
    """A mapping whose fields are read. ``path`` names the mapping in issues; it is empty for the document itself."""

    __slots__ = ("_keys", "at", "issues", "path", "raw")

    def __init__(
        self, issues: Issues, raw: YamlMap, path: str, vocabulary: Vocabulary | None, *, unknown: str = ""
    ) -> None:
        """Report the keys that are not in ``vocabulary``, unless it is ``None``.

        ``unknown`` is the beginning of the error text. With ``ignore``, such keys are warnings instead of errors.
        """
        self.issues = issues
        self.raw = raw
        self.path = path
        self.at = raw.at
        self._keys: dict[str, str] = {}
        if vocabulary is not None and not raw.keys() <= vocabulary.names:
            self._match(vocabulary, unknown or "has invalid keys")

    def _match(self, vocabulary: Vocabulary, unknown: str) -> None:
        for key in self.raw:
            if key in vocabulary.names:
                continue
            name = vocabulary.by_lower.get(key.lower())
            at = self.raw.key_at[key]
            if name is None:
                hint = _OTHER_VERSIONS.get(key.lower(), "") or did_you_mean(key, vocabulary.names)
                if unknown == "ignore":
                    self.issues.warn(f"unknown key is ignored: {key}", self.path, at, hint=hint)
                else:
                    self.issues.error(f"{unknown}: {key}", self.path, at, hint=hint)
            elif name in self.raw or name in self._keys:
                self.issues.error(f'duplicate key "{key}"', self.path, at, hint=f'it is the same as "{name}"')
            else:
                self._keys[name] = key
                self.issues.warn(f'key "{key}" should be written "{name}"', self.path, at)

    def __contains__(self, name: str) -> bool:
        return name in self.raw or name in self._keys

    def get(self, name: str) -> Any:
        """Return the raw value of field ``name``, or ``None`` if it is absent or null."""
        return self.raw.get(self._keys.get(name, name) if self._keys else name)

    def place(self, name: str) -> Place:
        """Return the place of the key ``name``, or of the mapping if it has no such key."""
        return self.raw.key_at.get(self._keys.get(name, name), self.at)

    def sub(self, name: str) -> str:
        """Return the path of field ``name``, for issues."""
        return f"{self.path}.{name}" if self.path else name

    def error(self, name: str, message: str, *, hint: str = "") -> None:
        """Report an error about field ``name``."""
        self.issues.error(message, self.sub(name), self.place(name), hint=hint)

    def warn(self, name: str, message: str, *, hint: str = "") -> None:
        """Report a warning about field ``name``."""
        self.issues.warn(message, self.sub(name), self.place(name), hint=hint)

    def wrong_type(self, name: str, expected: str, value: Any) -> None:
        """Report that the value of field ``name`` has the wrong type."""
        hint = ""
        if expected == "a string" and is_scalar(value):
            hint = "put the value in quotes"
        elif isinstance(value, str) and expected == "a boolean":
            hint = "write true or false"
        elif isinstance(value, str) and expected in ("an integer", "a number"):
            if _EXPONENT.fullmatch(value):
                hint = "write the number without an exponent"
            elif _INTEGER.fullmatch(digits := value.strip()):
                # A larger number is text, with quotes or without, as in Dagu.
                hint = "remove the quotes" if abs(float(digits)) <= _INT_LIMIT else "write a smaller number"
        self.error(name, f"expected {expected}, got {type_name(value)}{_shown(value)}", hint=hint)

    def text(self, name: str, *, strip: bool = True) -> str:
        """Read a text, which is empty if the field is absent or has another type."""
        value = self.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.wrong_type(name, "a string", value)
            return ""
        return value.strip() if strip else value

    def boolean(self, name: str, default: bool = False) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong_type(name, "a boolean", value)
            return default
        return value

    def integer(self, name: str, default: int = 0, *, minimum: int | None = None) -> int:
        """Read an integer. The fraction of a number is cut off, as in Dagu."""
        value = self.number(name, default, minimum=minimum, expected="an integer")
        return int(value)

    def seconds(self, name: str, default: float = 0, *, minimum: int | None = None) -> float:
        """Read a duration in seconds, which may have a fraction."""
        return self.number(name, default, minimum=minimum, maximum=SECONDS_LIMIT)

    def number(
        self,
        name: str,
        default: float = 0,
        *,
        minimum: float | None = None,
        maximum: float = _INT_LIMIT,
        expected: str = "a number",
    ) -> float:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, NumericText):
            value = value.number
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong_type(name, expected, value)
            return default
        if not math.isfinite(value):
            self.error(name, f"{name} must be a finite number{_shown(value)}")
            return default
        if minimum is not None and value < minimum:
            self.error(name, f"{name} must be >= {minimum}{_shown(value)}")
            return default
        if abs(value) > maximum:
            self.error(name, f"{name} must be at most {maximum}{_shown(value)}")
            return default
        return value

    def texts(
        self, name: str, *, error: str = "", split: str = "", scalars: bool = False, pairs: bool = False
    ) -> tuple[str, ...]:
        """Read a string or a list as a tuple of texts.

        Without ``error``, the items of a list may be any scalars, and null items are left out. With ``error``, the
        items must be strings, or any scalar but null if ``scalars`` is true, and ``error`` is the text of the issue
        about any other value. ``split`` is a separator at which each string is split. With ``pairs``, an item may be a
        map: each of its entries becomes ``key=value``.
        """
        value = self.get(name)
        if value is None:
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            self.error(name, error) if error else self.wrong_type(name, "a string or a list of strings", value)
            return ()
        found: list[str] = []
        for index, item in enumerate(items):
            if isinstance(item, str):
                found.extend(item.split(split) if split else [item])
            elif item is None and not error:
                continue
            elif is_scalar(item) and item is not None and (scalars or not error):
                found.append(scalar_text(item))
            elif pairs and isinstance(item, YamlMap) and all(map(is_scalar, item.values())):
                found.extend(f"{key}={scalar_text(inner)}" for key, inner in item.items())
            else:
                at = items.item_at[index] if isinstance(items, YamlList) else self.place(name)
                message = error or f"expected a string, got {type_name(item)}{_shown(item)}"
                self.issues.error(message, f"{self.sub(name)}[{index}]", at)
        return tuple(found)

    def mapping(
        self, name: str, vocabulary: Vocabulary | None, *, error: str = "", unknown: str = ""
    ) -> "Fields | None":
        """Read a mapping. Return ``None`` if the field is absent or has another type, which is reported."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, YamlMap):
            self.error(name, error) if error else self.wrong_type(name, "a map", value)
            return None
        return Fields(self.issues, value, self.sub(name), vocabulary, unknown=unknown)

    def text_map(self, name: str) -> dict[str, str]:
        """Read a map of scalars as a dict of texts, without spaces around keys and values."""
        fields = self.mapping(name, None)
        if fields is None:
            return {}
        found: dict[str, str] = {}
        for key, value in fields.raw.items():
            if is_scalar(value):
                found[key.strip()] = scalar_text(value).strip()
            else:
                fields.wrong_type(key, "a string", value)
        return found

    def choice(self, name: str, choices: tuple[T, ...]) -> T | Literal[""]:
        """Read a text that must be one of ``choices``. Returns an empty text if it is absent or another one."""
        given = self.get(name)
        # The hint of another type, to quote the value, would lead to the next error.
        value = scalar_text(given) if given is not None and is_scalar(given) else self.text(name)
        value = value.strip()
        if value and value not in choices:
            self.error(name, f"invalid {name}: {value} (must be one of: {', '.join(choices)})")
        return next((each for each in choices if each == value), "")


Readers = Mapping[str, tuple[str, Callable[[Fields], Any]]]
"""For each key of a mapping: the attribute of the model, and the function that reads the field."""


def read_each(fields: Fields, readers: Readers, values: dict[str, Any]) -> None:
    """Add to ``values``, by attribute, the fields of ``readers`` that the mapping has. So others keep their default."""
    for key, (attribute, read) in readers.items():
        if key in fields:
            values[attribute] = read(fields)


def is_scalar(value: Any) -> bool:
    """Return whether ``value`` is neither a map nor a list."""
    return not isinstance(value, dict | list)


def scalar_text(value: Any) -> str:
    """Return a scalar as text: ``true`` or ``false``, numbers in the shortest form (``1`` for 1.0), empty for null."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    return str(value)


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def plain(value: Any) -> Any:
    """Return a copy of ``value`` made of plain dicts and lists that JSON can represent.

    JSON has no NaN and no infinities: they become the texts ``NaN``, ``+Inf`` and ``-Inf``.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _float_text(value)
    return value


def type_name(value: Any) -> str:
    """Return the YAML word for the type of ``value``."""
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "number"), (dict, "map")):
        if isinstance(value, kind):
            return name
    return "list"


def _shown(value: Any) -> str:
    """Return `` (value: x)`` for a scalar, cut to 60 characters; empty for maps, lists and null."""
    if value is None or not is_scalar(value):
        return ""
    text = scalar_text(value)
    return f" (value: {text if len(text) <= 60 else text[:57] + '...'})"
