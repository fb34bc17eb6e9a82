"""Regular expressions in Go's syntax, matched by RE2: no pattern takes long."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

__all__ = ["PatternError", "compile_pattern", "line_matcher", "line_pattern_problem"]


class PatternError(ValueError):
    """The text is not a valid regular expression."""


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> Any:
    """Compile a pattern; the result has ``search(text)``.

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
    """Return a function that searches a line for a pattern of the form ``re:…``; ``None``: the text is no pattern.

    Raises:
        PatternError: the pattern after ``re:`` is not valid.
    """
    if not text.startswith("re:"):
        return None
    search: Callable[[str], object] = compile_pattern(text[3:]).search
    return search


def line_pattern_problem(text: str) -> str:
    """Return what is wrong with a text of the form ``re:…``; empty: nothing."""
    try:
        line_matcher(text)
    except PatternError as error:
        return f"{text} never matches: {error}"
    return ""
