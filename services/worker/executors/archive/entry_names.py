"""Match the names of an archive's members with ``include`` and ``exclude``. Imported by the archive executor's child.

A pattern must match the whole name, as in Dagu: ``*`` and ``?`` match within a folder, ``**`` across folders, so
``**/*.txt`` matches every text file. ``[a-z]``, ``{this,that}`` and a backslash work as in a shell.
"""

import re
from functools import lru_cache

__all__ = ["matches"]

_CLASS = re.compile(r"\[[!^]?\]?[^\]]*\]")


def matches(pattern: str, name: str) -> bool:
    """Whether ``pattern`` matches ``name``; an invalid pattern matches nothing."""
    regex = _compiled(pattern)
    return regex is not None and regex.fullmatch(name) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile("".join(_parts(pattern)), re.DOTALL)
    except re.error:
        return None


def _parts(pattern: str) -> list[str]:
    parts: list[str] = []
    depth = position = 0
    while position < len(pattern):
        rest, char = pattern[position:], pattern[position]
        taken = 1
        if rest.startswith("**/"):
            parts.append("(?:[^/]*/)*")
            taken = 3
        elif rest == "/**":
            parts.append("(?:/.*)?")
            taken = 3
        elif rest.startswith("**"):
            parts.append(".*")
            taken = 2
        elif char in "*?":
            parts.append("[^/]*" if char == "*" else "[^/]")
        elif char == "[" and (match := _CLASS.match(rest)):
            inner = match[0][1:-1]
            negated = inner[:1] in ("!", "^")
            body = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[1:] if negated else inner)
            parts.append(f"[{'^/' if negated else ''}{body}]")
            taken = match.end()
        elif char in "{}" and (char == "{" or depth):
            depth += 1 if char == "{" else -1
            parts.append("(?:" if char == "{" else ")")
        elif char == "," and depth:
            parts.append("|")
        else:
            taken = 2 if char == "\\" and len(rest) > 1 else 1
            parts.append(re.escape(rest[taken - 1]))
        position += taken
    return parts
