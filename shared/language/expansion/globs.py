"""Trim text by shell patterns (``${X#p}``, ``${X%%p}``, ``${X/p/r}``) without catastrophic backtracking."""

import re

from shared.language.expansion.size import check_size

__all__ = ["replace", "trim_prefix", "trim_suffix"]

_CLASS = re.compile(r"\[[!^]?\]?[^\]]*\]")


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


def _compile(pieces: list[list[str]], *, longest: bool) -> re.Pattern[str] | None:
    """Return a regex for the pieces in order. Each matches as early as possible; if ``longest``, the last as late."""
    texts = ["".join(piece) for piece in pieces]
    parts = [texts[0]]
    for index, text in enumerate(texts[1:], start=1):
        last = index == len(texts) - 1
        # Atomic groups: the position of a matched piece is never reconsidered, so the search cannot explode.
        parts.append(f".*{text}" if last and longest else f"(?>.*?{text})")
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:
        return None


def trim_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """Return ``value`` without the shortest or longest prefix that the glob ``pattern`` matches."""
    regex = _compile(_pieces(pattern), longest=longest)
    match = regex.match(value) if regex else None
    return value[match.end() :] if match else value


def trim_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """Return ``value`` without the shortest or longest suffix that the glob ``pattern`` matches."""
    mirrored = [piece[::-1] for piece in _pieces(pattern)[::-1]]
    regex = _compile(mirrored, longest=longest)
    match = regex.match(value[::-1]) if regex else None
    return value[: len(value) - match.end()] if match else value


def replace(value: str, pattern: str, by: str, *, every: bool) -> str:
    """Return ``value`` with the longest match of the glob ``pattern`` replaced: the first match, or every match.

    Raises:
        ExpansionError: the result would be too long.
    """
    regex = _compile(_pieces(pattern), longest=True)
    if regex is None or not pattern:
        return value
    placed = 0

    def place(_match: re.Match[str]) -> str:
        nonlocal placed
        placed += len(by)
        check_size(placed)
        return by

    return regex.sub(place, value, count=0 if every else 1)
