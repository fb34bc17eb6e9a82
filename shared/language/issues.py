"""Problems in a spec: where, what, and a suggestion how to fix it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["BASE", "Issue", "Issues", "Place", "PlaceInBase", "Severity", "TooManyIssues", "did_you_mean"]

Severity = Literal["error", "warning"]

Place = tuple[int, int]
"""(line, column), both counted from 1; (0, 0): no place."""

NOWHERE: Place = (0, 0)
BASE = "base configuration"


class PlaceInBase(tuple[int, int]):
    """A place in the base configuration, not in the file itself."""

    __slots__ = ()


_MAX_COMPARED = 100
_MAX_CANDIDATES = 500


@dataclass(frozen=True, slots=True)
class Issue:
    """One problem. ``path`` leads to the value (``steps[1].depends``); empty: the whole file.

    ``source`` names the text that ``line`` and ``column`` refer to; empty: the file itself.
    """

    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    severity: Severity = "error"
    hint: str = ""
    source: str = ""

    def __str__(self) -> str:
        """Return one line: source, place, path, message, hint."""
        source = f"{self.source}: " if self.source else ""
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        path = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{source}{place}{path}{self.message}{hint}"


class TooManyIssues(Exception):
    """The limit of problems is reached: more would not help, and hostile text would cost time."""


class Issues:
    """Collects the problems of one load, up to ``limit``, so that all are reported at once."""

    limit = 200

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Issue] = []

    def error(self, message: str, path: str = "", at: Place = NOWHERE, *, hint: str = "") -> None:
        """Add a problem that makes the spec unusable.

        Raises:
            TooManyIssues: the limit is reached.
        """
        self._add(message, path, at, "error", hint)

    def warn(self, message: str, path: str = "", at: Place = NOWHERE, *, hint: str = "") -> None:
        """Add something that works, but is probably a mistake."""
        self._add(message, path, at, "warning", hint)

    def _add(self, message: str, path: str, at: Place, severity: Severity, hint: str) -> None:
        if len(self.found) >= self.limit:
            raise TooManyIssues
        source = BASE if isinstance(at, PlaceInBase) else ""
        self.found.append(Issue(message, path, at[0], at[1], severity, hint, source))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean "x"?`` for the nearest of ``known``, or an empty text."""
    by_lower = {name.lower(): name for name in known}
    if not word or len(word) > _MAX_COMPARED or len(by_lower) > _MAX_CANDIDATES:
        return ""
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f'did you mean "{by_lower[near[0]]}"?' if near else ""
