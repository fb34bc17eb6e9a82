r"""Regular expressions as Go writes them, for Python's engine.

Translated is what Python has not or reads in another way: ``[[:alpha:]]``, ``\d`` and its like (ASCII alone),
``\pL``, ``\z``, ``\Q…\E``, ``\x{2014}``, ``(?<name>…)``, and flags in the middle. What Go refuses
and Python has, look-around for one, works.
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

__all__ = ["PatternFault", "check_line_test", "compile_pattern", "line_test"]

_MAX_CHARS = 100_000
_CLASSES = {"d": "0-9", "s": "\\t\\n\\f\\r ", "w": "0-9A-Za-z_"}
_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\\x00-\\x7f", "blank": "\\t ", "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": "!-/:-@\\[-`{-~", "space": "\\t-\\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_NAMED_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
_UNICODE = re.compile(r"[pP](?:\{(\^?)([A-Za-z_]+)\}|([A-Z]))")
_CODE = re.compile(r"x\{([0-9A-Fa-f]{1,6})\}")
_FLAGS = re.compile(r"\(\?([ims]*(?:-[ims]+)?)\)")
_NAMED_GROUP = re.compile(r"\(\?<(?![=!])")
_NO_COUNT = re.compile(r"\{(?=,\d*\})")
_RANGE = re.compile(r"-(?!\])")
_MORE_DIGITS = {"x": re.compile("[0-9A-Fa-f]{2}"), **dict.fromkeys("01234567", re.compile("[0-7]{1,2}"))}
_LAST_CODE = sys.maxunicode


class PatternFault(ValueError):
    """A regular expression that cannot be read."""


@lru_cache(maxsize=512)
def compile_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Compile a pattern in Go's syntax; ``flags`` are Python's.

    Raises:
        PatternFault: it is not one.
    """
    if len(pattern) > _MAX_CHARS:
        raise PatternFault("the pattern is too long")
    try:
        return re.compile(_Translation(pattern).text(), flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternFault(str(error)) from error


def line_test(text: str) -> Callable[[str], object] | None:
    """Return what finds a pattern of the form ``re:…`` in a line; ``None``: the text is to be taken as it is.

    Raises:
        PatternFault: what follows ``re:`` is no pattern.
    """
    return compile_pattern(text[3:]).search if text.startswith("re:") else None


def check_line_test(text: str) -> str:
    """Return what is wrong with a text that may be ``re:…``; empty: nothing."""
    try:
        line_test(text)
    except PatternFault as fault:
        return f"{text} never matches: {fault}"
    return ""


class _Translation:
    """One pattern on its way: read once from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def text(self) -> str:
        # Of each open group the flags set within it: they hold up to its end, past every "|".
        scopes: list[list[str]] = [[]]
        return "".join(self._pieces(scopes)) + ")" * len(scopes[0])

    def _pieces(self, scopes: list[list[str]]) -> Iterator[str]:
        while self._at < len(self._pattern):
            if flags := self._taken(_FLAGS):
                if flags[1]:
                    scopes[-1].append(flags[1])
                    yield f"(?{flags[1]}:"
                continue
            if self._taken(_NAMED_GROUP):
                scopes.append([])
                yield "(?P<"
                continue
            if self._taken(_NO_COUNT):
                yield "\\{"
                continue
            char = self._next()
            if char == "\\":
                yield self._escape()
            elif char == "[":
                yield self._class()
            elif char == "(":
                scopes.append([])
                yield char
            elif char == ")":
                yield ")" * len(scopes[-1]) + char
                if len(scopes) > 1:
                    scopes.pop()
            elif char == "|":
                yield ")" * len(scopes[-1]) + char + "".join(f"(?{flags}:" for flags in scopes[-1])
            else:
                yield char

    def _next(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def _taken(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._pattern, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _escape(self) -> str:
        if self._at == len(self._pattern):
            raise PatternFault("a backslash at the end")
        if code := self._taken(_CODE):
            return re.escape(_char(code[1]))
        if found := self._taken(_UNICODE):
            return f"[{_category(found)}]"
        char = self._next()
        if char in "dswDSW":
            return f"[{'^' if char.isupper() else ''}{_CLASSES[char.lower()]}]"
        if char in "bB":
            return f"(?a:\\{char})"
        if char == "Q":
            end = self._pattern.find("\\E", self._at)
            literal = self._pattern[self._at :] if end < 0 else self._pattern[self._at : end]
            self._at = len(self._pattern) if end < 0 else end + 2
            return re.escape(literal)
        return "\\Z" if char == "z" else f"\\{char}"

    def _class(self) -> str:
        """Return a bracket expression; every character in it escaped, so that none means more than itself."""
        parts = ["["]
        if self._pattern.startswith("^", self._at):
            self._at += 1
            parts.append("^")
        first = True
        while first or not self._pattern.startswith("]", self._at):
            item, single = self._item()
            if single and _RANGE.match(self._pattern, self._at):
                self._at += 1
                end, single = self._item()
                if not single:
                    raise PatternFault("a range ends in a class")
                item = f"{item}-{end}"
            parts.append(item)
            first = False
        self._at += 1
        return "".join((*parts, "]"))

    def _item(self) -> tuple[str, bool]:
        """Return what comes next in a bracket expression, and whether it is a single character."""
        if named := self._taken(_NAMED_CLASS):
            if named[2] not in _POSIX:
                raise PatternFault(f"there is no class {named[0]}")
            return (_outside if named[1] else str)(_POSIX[named[2]]), False
        if self._at == len(self._pattern):
            raise PatternFault("a bracket is not closed")
        char = self._next()
        if char != "\\":
            return re.escape(char), True
        if self._at == len(self._pattern):
            raise PatternFault("a backslash at the end")
        if code := self._taken(_CODE):
            return re.escape(_char(code[1])), True
        if found := self._taken(_UNICODE):
            return _category(found), False
        char = self._next()
        if char in "dswDSW":
            known = _CLASSES[char.lower()]
            return (_outside(known) if char.isupper() else known), False
        # Of two or three characters in octal or hexadecimal the others follow, and make it one.
        rest = self._taken(_MORE_DIGITS[char]) if char in _MORE_DIGITS else None
        return f"\\{char}{rest[0] if rest else ''}", True


def _outside(inside: str) -> str:
    """Return the inside of a bracket expression for all but these, which are of ASCII."""
    within = re.compile(f"[{inside}]")
    return "".join(re.escape(chr(code)) for code in range(128) if not within.match(chr(code))) + "\\x80-\\U0010ffff"


def _char(code: str) -> str:
    if (number := int(code, 16)) > _LAST_CODE:
        raise PatternFault(f"there is no character {code}")
    return chr(number)


def _category(found: re.Match[str]) -> str:
    r"""Return the inside of a bracket expression for ``\pL``, ``\p{Lu}``, ``\PL`` or ``\p{^L}``."""
    name = found[2] or found[3]
    inverse = found[0].startswith("P") != bool(found[1])
    ranges = _ranges(name)
    if not ranges:
        raise PatternFault(f"there is no category {name}: scripts are not known")
    if inverse:
        ends = [-1, *(end for pair in ranges for end in pair), _LAST_CODE + 1]
        between = [(ends[at] + 1, ends[at + 1] - 1) for at in range(0, len(ends), 2)]
        ranges = tuple((low, high) for low, high in between if low <= high)
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)


@lru_cache(maxsize=64)
def _ranges(name: str) -> tuple[tuple[int, int], ...]:
    """Return the first and last code of each stretch of a general category; nothing: there is no such."""
    found: list[tuple[int, int]] = []
    for code in range(_LAST_CODE + 1):
        if unicodedata.category(chr(code)).startswith(name):
            if found and found[-1][1] == code - 1:
                found[-1] = (found[-1][0], code)
            else:
                found.append((code, code))
    return tuple(found)
