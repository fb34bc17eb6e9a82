"""Regular expressions as Go writes them, by the engine that Go's was made after: no pattern takes long."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

__all__ = ["PatternError", "compile_pattern", "line_matcher", "line_pattern_problem"]


class PatternError(ValueError):
    """A regular expression that cannot be read."""


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> Any:
    """Compile a pattern; what is returned has ``search(text)``.

    Raises:
        PatternError: it is not one.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise PatternError(error.args[0].decode(errors="replace")) from error


def line_matcher(text: str) -> Callable[[str], object] | None:
    """Return what finds a pattern of the form ``re:…`` in a line; ``None``: the text is to be taken as it is.

    Raises:
        PatternError: what follows ``re:`` is no pattern.
    """
    if not text.startswith("re:"):
        return None
    search: Callable[[str], object] = compile_pattern(text[3:]).search
    return search


def line_pattern_problem(text: str) -> str:
    """Return what is wrong with a text that may be ``re:…``; empty: nothing."""
    try:
        line_matcher(text)
    except PatternError as fault:
        return f"{text} never matches: {fault}"
    return ""
