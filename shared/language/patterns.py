"""Regular expressions in Go's syntax. RE2 matches them in linear time, so no pattern can block a process."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

__all__ = ["PatternError", "compile_pattern", "line_matcher", "line_pattern_problem"]


class PatternError(ValueError):
    """The pattern is not a valid regular expression."""


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> Any:
    """Return the compiled pattern, an object with a method ``search(text)``.

    Raises:
        PatternError: the pattern is not valid.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise PatternError(error.args[0].decode(errors="replace")) from error


def line_matcher(text: str) -> Callable[[str], object] | None:
    """Return a function that searches a line for the pattern after ``re:``, or ``None`` if ``text`` has no ``re:``.

    Raises:
        PatternError: the pattern after ``re:`` is not valid.
    """
    if not text.startswith("re:"):
        return None
    search: Callable[[str], object] = compile_pattern(text[3:]).search
    return search


def line_pattern_problem(text: str) -> str:
    """Return what is wrong with the pattern after ``re:``; empty if it is valid or ``text`` has no ``re:``."""
    try:
        line_matcher(text)
    except PatternError as error:
        return f"the pattern {text} is invalid and never matches: {error}"
    return ""
