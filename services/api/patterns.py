"""What people search for: a regular expression as Go writes them, in any case, that cannot cost too much.

Python's engine tries again where Go's does not, so a pattern is looked at first: how often it repeats
without a bound says how much of a line it may be tried on. What cannot be understood, or would take
too long, is searched for as it stands.
"""

import contextlib
import re

__all__ = ["pattern"]

_LINE_CHARS = {0: 5000, 1: 2000, 2: 500, 3: 200}
"""How much of a line is looked at, by how many unbounded repetitions the pattern has: their product is the cost."""
_NESTED = re.compile(r"[*+}]\)*[*+{]|\([^)]*[*+][^)]*\)[*+{]|\([^)]*\|[^)]*\)[*+{]")
"""Repeated repetitions and repeated alternatives: what makes a pattern take exponential time."""
_WORDS = re.compile(r"[\w \-:/=,'\"#@]+(?:\.\*[\w \-:/=,'\"#@]+)*")
"""Words with anything between them, which need no second try however many they are."""
_TOKEN = re.compile(r"\\.|\[\^?+\]?+(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|\[")
_IN_SET = re.compile(r"\\.|\[:(\^?)(\w+):\]|--|[\[&|~]")
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_OTHERS = {"digit": r"\D", "space": r"\S", "word": r"\W"}
"""The classes of which Python has a name for all other characters too."""


def pattern(text: str) -> tuple[re.Pattern[str], int]:
    """Return what to search for, and in how many characters of a line."""
    words = text.removeprefix(".*").removesuffix(".*")
    if _WORDS.fullmatch(words):
        first, *others = map(re.escape, words.split(".*"))
        found = re.compile(first + "".join(f"(?>.*?{word})" for word in others), re.IGNORECASE)
        return found, _LINE_CHARS[min(1, len(others))]
    repetitions = sum(text.count(mark) for mark in "*+{")
    if repetitions in _LINE_CHARS and not _NESTED.search(text):
        with contextlib.suppress(re.error, OverflowError, RecursionError):
            return re.compile(_TOKEN.sub(_as_python, text), re.IGNORECASE), _LINE_CHARS[repetitions]
    return re.compile(re.escape(text), re.IGNORECASE), _LINE_CHARS[0]


def _as_python(token: re.Match[str]) -> str:
    """Return an escape or a set of characters as Python writes it."""
    text = token[0]
    if text == "[":
        raise re.error("a set that does not end")
    if text == r"\z":
        return r"\Z"
    return f"[{_IN_SET.sub(_part, text[1:-1])}]" if text.startswith("[") else text


def _part(part: re.Match[str]) -> str:
    if part[0].startswith("[:"):
        known = _OTHERS if part[1] else _CLASSES
        if part[2] not in known:
            raise re.error(f"no class {part[0]}")
        return known[part[2]]
    # Python warns of signs between two of which it may see more than themselves one day.
    return part[0] if part[0].startswith("\\") else part[0][:-1] + "\\" + part[0][-1]
