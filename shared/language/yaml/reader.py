"""Read YAML text into maps, lists and scalars with their line and column. No other module parses YAML.

Guarantees:

- Scalars are those of YAML 1.2: only ``true`` and ``false`` are booleans; ``yes``, ``010``, ``1_000``, ``12:30`` and
  dates stay text.
- Duplicate keys are reported.
- Text over the size limit, too many documents or ``%TAG`` directives, deep nesting and alias bombs are refused before
  they take time or memory.
- The only exception raised is ``TooManyIssues``.

``fields`` and the modules that use it check what the data means.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import yaml

from shared.language.issues import Issues, Place, PlaceInBase
from shared.language.yaml.readable import YamlLoader, readable

__all__ = ["Document", "NumericText", "YamlList", "YamlMap", "read_yaml"]

_MAX_BYTES = 1_048_576
_MAX_DOCUMENTS = 200
_MAX_TAG_DIRECTIVES = 100
"""libyaml compares each with all before it: those of 1 MiB took 12 s, in which no other thread of the process ran."""
_MAX_DEPTH = 64
_MAX_ALIASED_NODES = 20_000
_MAX_ALIASED_CHARS = 4 * _MAX_BYTES
_MAX_DIGITS = 40

_TAG_DIRECTIVE = re.compile(r"(?:\A|[\r\n\x85\u2028\u2029])%TAG")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z")
_BASED = {"0x": (re.compile(r"0x[0-9a-fA-F]+\Z"), 16), "0o": (re.compile(r"0o[0-7]+\Z"), 8)}
_FIGURE = re.compile(r"[-+]?(?:0[0-7_]+|[1-9][0-9_]*)\Z")
_INTS = range(-(2**63), 2**64)
"""The range of signed and unsigned 64-bit integers. An integer outside it stays text."""
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
}  # fmt: skip
_WORDS |= {f"{sign}.{inf}": float(f"{sign}inf") for sign in ("", "+", "-") for inf in ("inf", "Inf", "INF")}
_NUMBER_STARTS = frozenset("0123456789+-.")
_TAG = "tag:yaml.org,2002:"
_TAGGED: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}

_QUOTE_CRON = 'quote the cron expression: "*/5 * * * *"'
_QUOTE_TEXT = "put the text in quotes"


class NumericText(str):
    """A plain scalar such as ``1_000`` or ``010``, which is text unless its field takes a number.

    For a number field it is read as in Dagu: underscores are ignored, and a leading zero means octal.
    """

    __slots__ = ()

    @property
    def number(self) -> int:
        """The scalar as a number."""
        digits = self.replace("_", "")
        return int(digits, 8 if digits.lstrip("+-").startswith("0") else 10)


class YamlMap(dict[str, Any]):
    """A mapping, with its place (line and column) and the places of its keys and values."""

    __slots__ = ("at", "key_at", "value_at")

    def __init__(self, at: Place) -> None:
        super().__init__()
        self.at = at
        self.key_at: dict[str, Place] = {}
        self.value_at: dict[str, Place] = {}


class YamlList(list[Any]):
    """A sequence, with its place and the place of each item.

    The first ``inherited`` items come from the base configuration.
    """

    __slots__ = ("at", "inherited", "item_at")

    def __init__(self, at: Place) -> None:
        super().__init__()
        self.at = at
        self.inherited = 0
        self.item_at: list[Place] = []


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document. ``index`` is its position in the text, from 0; empty documents count too.

    ``base``: the base configuration that is merged into ``value``.
    """

    index: int
    value: Any
    at: Place
    base: YamlMap | None = None


@dataclass(slots=True)
class _Frame:
    """A mapping or sequence whose end has not been read yet."""

    value: YamlMap | YamlList
    anchor: str | None
    nodes_before: int
    chars_before: int
    key: str | None = None
    key_at: Place = (0, 0)
    merges: list[Any] = field(default_factory=list)


class _Refused(Exception):
    """Stop reading. The reason has been added to the issues."""


def read_yaml(text: str, issues: Issues, *, in_base: bool = False) -> list[Document]:
    """Return the documents of ``text`` that are not empty, and add problems to ``issues``.

    ``in_base``: ``text`` is the base configuration, so all places are a ``PlaceInBase``.
    After a syntax error, the documents before the error are still returned.

    Raises:
        TooManyIssues: ``issues`` is full.
    """
    if len(text) > _MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > _MAX_BYTES:
        issues.error(f"the file is larger than {_MAX_BYTES} bytes")
        return []
    if surplus := next(islice(_TAG_DIRECTIVE.finditer(text), _MAX_TAG_DIRECTIVES, None), None):
        message = f"a file may have at most {_MAX_TAG_DIRECTIVES} %TAG directives"
        issues.error(message, at=_place_of(text, surplus.end() - len("%TAG")))
        return []
    composer = _Composer(text, issues, _place_in_base if in_base else _place)
    try:
        composer.run()
    except _Refused:
        pass
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, text, issues)
    except yaml.reader.ReaderError as error:
        at = _place_of(text, error.position) if isinstance(error.position, int) else (1, 1)
        issues.error("invalid YAML: control characters are not allowed", at=at, hint="save the file as UTF-8 text")
    except UnicodeEncodeError as error:
        issues.error("invalid YAML: the text is not valid Unicode", at=_place_of(text, error.start))
    return composer.documents


class _Composer:
    """Builds values from parser events, with an explicit stack: recursion could overflow on deeply nested text."""

    def __init__(self, text: str, issues: Issues, place: Callable[[Any], Place]) -> None:
        self._text = text
        self._for_libyaml, self._meant = readable(text)
        self._issues = issues
        self._place = place
        self.documents: list[Document] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._nodes = self._chars = 0
        self._aliased = self._aliased_chars = 0
        self._index = -1

    def run(self) -> None:
        loader = YamlLoader(self._for_libyaml)
        next_event = loader.get_event
        try:
            while True:
                event = next_event()
                kind = type(event)
                if kind is yaml.ScalarEvent:
                    self._scalar(event)
                elif kind is yaml.MappingStartEvent:
                    self._open(event, YamlMap(self._place(event)))
                elif kind is yaml.SequenceStartEvent:
                    self._open(event, YamlList(self._place(event)))
                elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                    self._close()
                elif kind is yaml.AliasEvent:
                    self._alias(event)
                elif kind is yaml.DocumentStartEvent:
                    self._index += 1
                    if self._index >= _MAX_DOCUMENTS:
                        self._refuse(f"a file may have at most {_MAX_DOCUMENTS} documents", self._place(event))
                    self._anchors.clear()
                elif kind is yaml.StreamEndEvent:
                    return
        finally:
            loader.dispose()

    def _scalar(self, event: Any) -> None:
        text: str = event.value.translate(self._meant) if self._meant else event.value
        self._nodes += 1
        self._chars += len(text)
        at = self._place(event)
        if "\0" in text:
            self._issues.error("text must not contain a NUL character", at=at)
            text = text.replace("\0", "")
        stack = self._stack
        if stack and stack[-1].key is None and type(stack[-1].value) is YamlMap:
            self._set_key(stack[-1], text, at, merge=text == "<<" and event.implicit[0])
            return
        value: Any = text
        if event.tag is not None and event.tag != "!":
            value = self._tagged(event.tag, text, at)
        elif event.implicit[0] and event.tag is None:
            value = _resolve(text)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1, len(text))
        self._add(value, at)

    def _set_key(self, frame: _Frame, key: str, at: Place, *, merge: bool = False) -> None:
        mapping = frame.value
        if isinstance(mapping, YamlMap) and key in mapping.key_at and not merge:
            line = mapping.key_at[key][0]
            self._issues.error(f'duplicate key "{key}"', at=at, hint=f"it is already set on line {line}")
        frame.key = "<<" if merge else key
        frame.key_at = (0, 0) if merge else at

    def _add(self, value: Any, at: Place) -> None:
        """Add a complete value to the innermost open mapping or sequence."""
        if not self._stack:
            if value is not None and value != "":
                self.documents.append(Document(self._index, value, at))
            return
        frame = self._stack[-1]
        into = frame.value
        if isinstance(into, YamlList):
            into.append(value)
            into.item_at.append(at)
        elif frame.key is None:
            self._issues.error("a mapping key must be plain text", at=at, hint=_QUOTE_TEXT)
            frame.key, frame.key_at = "", at
        else:
            key = frame.key
            frame.key = None
            if frame.key_at == (0, 0):
                frame.merges.append((value, at))
                return
            into[key] = value
            into.key_at[key] = frame.key_at
            into.value_at[key] = at

    def _open(self, event: Any, value: YamlMap | YamlList) -> None:
        self._nodes += 1
        if len(self._stack) >= _MAX_DEPTH:
            self._refuse(f"the file is nested deeper than {_MAX_DEPTH} levels", value.at)
        if event.tag is not None and event.tag not in (_TAG + "map", _TAG + "seq", "!"):
            self._unknown_tag(event.tag, value.at)
        self._stack.append(_Frame(value, event.anchor, self._nodes, self._chars))

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.merges and isinstance(frame.value, YamlMap):
            self._merge(frame.value, frame.merges)
        if frame.anchor is not None:
            nodes, chars = self._nodes - frame.nodes_before + 1, self._chars - frame.chars_before
            self._anchors[frame.anchor] = (frame.value, nodes, chars)
        self._add(frame.value, frame.value.at)

    def _merge(self, into: YamlMap, merges: list[Any]) -> None:
        """Apply ``<<``: add the keys of the merged mappings that ``into`` does not set itself."""
        for value, at in merges:
            for source in value if isinstance(value, YamlList) else [value]:
                if not isinstance(source, YamlMap):
                    self._issues.error("the value of << must be a map", at=at)
                    continue
                for key, item in source.items():
                    if key not in into:
                        into[key] = item
                        into.key_at[key] = source.key_at[key]
                        into.value_at[key] = source.value_at[key]

    def _alias(self, event: Any) -> None:
        at = self._place(event)
        known = self._anchors.get(event.anchor)
        if known is None:
            self._issues.error(f'unknown alias "*{event.anchor}"', at=at, hint=_hint_at(self._text, at) or _QUOTE_TEXT)
            known = (None, 1, 0)
        value, size, chars = known
        # What is behind an alias counts once for each use, because nested aliases multiply it.
        self._nodes += size
        self._aliased += size
        self._chars += chars
        self._aliased_chars += chars
        if self._aliased > _MAX_ALIASED_NODES:
            self._refuse(f"YAML aliases expand to more than {_MAX_ALIASED_NODES} values", at)
        if self._aliased_chars > _MAX_ALIASED_CHARS:
            self._refuse(f"YAML aliases expand to more than {_MAX_ALIASED_CHARS} characters", at)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.key is None and isinstance(frame.value, YamlMap) and isinstance(value, str):
            self._set_key(frame, value, at)
            return
        self._add(value, at)

    def _tagged(self, tag: str, text: str, at: Place) -> Any:
        if tag == _TAG + "str":
            return text
        value = _resolve(text)
        if not isinstance(value, _TAGGED.get(tag.removeprefix(_TAG), ())):
            self._unknown_tag(tag, at)
        return value

    def _unknown_tag(self, tag: str, at: Place) -> None:
        if tag.startswith(_TAG):
            self._issues.error(f'unsupported YAML tag "!!{tag[len(_TAG) :]}"', at=at, hint="remove the tag")
        else:
            self._issues.warn(f'the YAML tag "{tag}" is ignored', at=at, hint="remove the tag")

    def _refuse(self, message: str, at: Place) -> None:
        self._issues.error(message, at=at)
        raise _Refused


def _place(event: Any) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1)


def _place_in_base(event: Any) -> Place:
    return PlaceInBase(_place(event))


def _resolve(text: str) -> Any:
    """Return the value of a plain scalar in the YAML 1.2 core schema, but keep numbers with leading zeros as text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS or len(text) > _MAX_DIGITS:
        return text
    if _INT.match(text):
        number = int(text)
        return number if number in _INTS else text
    if _FLOAT.match(text):
        value = float(text)
        # Text such as 1e3 or 5e1234 is more likely a commit hash than a number. It is text in Dagu too.
        return value if "." in text else text
    if _FIGURE.match(text):
        return NumericText(text)
    based = _BASED.get(text[:2])
    return int(text[2:], based[1]) if based and based[0].match(text) else text


def _place_of(text: str, position: int) -> Place:
    before = text[:position]
    return (before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def _report_syntax(error: yaml.MarkedYAMLError, text: str, issues: Issues) -> None:
    mark = error.context_mark if error.context == "while scanning an alias" else error.problem_mark
    mark = mark or error.problem_mark or error.context_mark
    at = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    problem = ", ".join(part for part in (error.context, error.problem) if part) or "not YAML"
    hint = _hint_at(text, at)
    if not hint and "mapping values are not allowed" in problem:
        hint = 'put text that contains ": " in quotes'
    if not hint and "flow" in problem:
        hint = "put text that contains braces or brackets in quotes"
    issues.error(f"invalid YAML: {problem}", at=at, hint=hint)


def _hint_at(text: str, at: Place) -> str:
    """Return a hint for the text at ``at``; empty if there is none."""
    lines = text.split("\n")
    if not 0 < at[0] <= len(lines):
        return ""
    line = lines[at[0] - 1]
    rest = line[max(at[1] - 1, 0) :].strip()
    if rest.startswith(("*", "@")) or re.search(r":\s+[*@]", line):
        return _QUOTE_CRON if re.match(r"@\w+\s*$|\*\S*(\s+\S+){4}|.*:\s+(\*|@\w+\s*$)", rest or line) else _QUOTE_TEXT
    if rest[:1] in ("`", "%"):
        return _QUOTE_TEXT
    if line.lstrip(" ").startswith("\t"):
        return "indent with spaces, not tabs"
    return ""
