"""Trim text by shell patterns (``${X#p}``, ``${X%%p}``, ``${X/p/r}``).

RE2 matches them. Python's own expressions would need a time that is quadratic in the length of the text, and nothing
else in the process would run meanwhile, heartbeats included.
"""

import re
from typing import Any

from shared.language.expansion.size import check_size
from shared.language.patterns import PatternError, compile_pattern

__all__ = ["replace", "trim_prefix", "trim_suffix"]

_CLASS = re.compile(r"\[[!^]?\]?[^\]]*\]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOVED = 0x10F800 - 0xD800
"""To the end of the last range of characters for private use."""
_SPECIAL = frozenset("*?[\\")
_MOST_CHARS = 1000
"""How many characters a glob may stand for, besides those of its stars. A longer one matches nothing."""


def _pieces(pattern: str) -> list[list[str]]:
    """Split a glob at its stars; each piece is a list of one-character regexes."""
    pieces: list[list[str]] = [[]]
    position = 0
    while position < len(pattern):
        char = pattern[position]
        match = _CLASS.match(pattern, position) if char == "[" else None
        if char == "*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append([])
        elif char == "?":
            pieces[-1].append(".")
        elif match is not None:
            inner = match[0][1:-1]
            negated = inner[:1] in ("!", "^")
            body = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[1:] if negated else inner)
            pieces[-1].append(f"[{'^' if negated else ''}{body}]")
            position = match.end() - 1
        else:
            if char == "\\" and position + 1 < len(pattern):
                position += 1
                char = pattern[position]
            pieces[-1].append(re.escape(char))
        position += 1
    return pieces


def _compile(pieces: list[list[str]], *, longest: bool) -> Any:
    """Return a pattern for the pieces in order. Each matches as early as possible; if ``longest``, the last as late.

    ``None`` if the pieces make no pattern, or too large a one.
    """
    if sum(map(len, pieces)) > _MOST_CHARS:
        return None
    texts = ["".join(piece) for piece in pieces]
    stars = [".*?"] * (len(texts) - 1)
    if stars and longest:
        stars[-1] = ".*"
    parts = [texts[0], *(f"{star}{text}" for star, text in zip(stars, texts[1:], strict=True))]
    try:
        return compile_pattern(f"(?s){_encodable(''.join(parts))}")
    except PatternError:
        return None


def _encodable(text: str) -> str:
    """Return ``text`` with other characters for bytes of the host that are no text, which RE2 cannot take."""
    return _SURROGATE.sub(lambda found: chr(ord(found[0]) + _MOVED), text)


def trim_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """Return ``value`` without the shortest or longest prefix that the glob ``pattern`` matches."""
    if _SPECIAL.isdisjoint(pattern):
        return value.removeprefix(pattern)
    regex = _compile(_pieces(pattern), longest=longest)
    match = regex.match(_encodable(value)) if regex else None
    return value[match.end() :] if match else value


def trim_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """Return ``value`` without the shortest or longest suffix that the glob ``pattern`` matches."""
    if _SPECIAL.isdisjoint(pattern):
        return value.removesuffix(pattern)
    mirrored = [piece[::-1] for piece in _pieces(pattern)[::-1]]
    regex = _compile(mirrored, longest=longest)
    match = regex.match(_encodable(value[::-1])) if regex else None
    return value[: len(value) - match.end()] if match else value


def replace(value: str, pattern: str, by: str, *, every: bool) -> str:
    """Return ``value`` with the longest match of the glob ``pattern`` replaced: the first match, or every match.

    Raises:
        ExpansionError: the result would be too long.
    """
    if not pattern:
        return value
    if _SPECIAL.isdisjoint(pattern):
        most = value.count(pattern) if every else 1
        check_size(len(by) * most)
        return value.replace(pattern, by, most)
    regex = _compile(_pieces(pattern), longest=True)
    if regex is None:
        return value
    parts: list[str] = []
    end = placed = 0
    for match in regex.finditer(_encodable(value)):
        if parts and match.end() == end:
            continue  # nothing is left behind the match before
        placed += len(by)
        check_size(placed)
        parts += value[end : match.start()], by
        end = match.end()
        if not every:
            break
    return "".join((*parts, value[end:]))
