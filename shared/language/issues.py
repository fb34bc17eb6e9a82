"""The problems found in a spec, each with its place, its text and a hint how to fix it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["BASE", "Issue", "Issues", "Place", "PlaceInBase", "Severity", "TooManyIssues", "did_you_mean"]

Severity = Literal["error", "warning"]

Place = tuple[int, int]
"""(line, column), counted from 1, or (0, 0) if the problem has no place."""

NOWHERE: Place = (0, 0)
BASE = "base configuration"


class PlaceInBase(tuple[int, int]):
    """A place in the base configuration instead of the workflow file."""

    __slots__ = ()


_MAX_COMPARED = 100
_LEAST_BEGUN = 3
_MAX_CANDIDATES = 500


@dataclass(frozen=True, slots=True)
class Issue:
    """One problem in a workflow file or in the base configuration.

    ``path`` names the value, such as ``steps[1].depends``; it is empty if the problem concerns the whole file.
    ``source`` is ``BASE`` if ``line`` and ``column`` refer to the base configuration, and empty for the file.
    """

    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    severity: Severity = "error"
    hint: str = ""
    source: str = ""

    def __str__(self) -> str:
        """Return the problem as one line: source, place, path, message and hint."""
        source = f"{self.source}: " if self.source else ""
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        path = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{source}{place}{path}{self.message}{hint}"


class TooManyIssues(Exception):
    """The limit of problems is reached. More would not help the author, and a hostile text could cost much time."""


class Issues:
    """Collects the problems of one load, up to ``limit``, so that the author sees them all together."""

    limit = 200

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Issue] = []

    def error(self, message: str, path: str = "", at: Place = NOWHERE, *, hint: str = "") -> None:
        """Add a problem that keeps the workflow from running.

        Raises:
            TooManyIssues: the limit is reached.
        """
        self._add(message, path, at, "error", hint)

    def warn(self, message: str, path: str = "", at: Place = NOWHERE, *, hint: str = "") -> None:
        """Add a warning: the workflow can run, but this is probably a mistake. Raises ``TooManyIssues``."""
        self._add(message, path, at, "warning", hint)

    def _add(self, message: str, path: str, at: Place, severity: Severity, hint: str) -> None:
        if len(self.found) >= self.limit:
            raise TooManyIssues
        source = BASE if isinstance(at, PlaceInBase) else ""
        self.found.append(Issue(message, path, at[0], at[1], severity, hint, source))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean "x"?`` for the word of ``known`` that is most similar, or an empty text if none is."""
    by_lower = {name.lower(): name for name in known}
    if not word or len(word) > _MAX_COMPARED or len(by_lower) > _MAX_CANDIDATES:
        return ""
    # A word that was cut off is more similar to a shorter word than to the one that it begins.
    begun = [name for name in by_lower if len(word) >= _LEAST_BEGUN and name.startswith(word.lower())]
    near = begun if len(begun) == 1 else difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f'did you mean "{by_lower[near[0]]}"?' if near else ""
