"""The changes between two specs, as a unified diff. Pure."""

import difflib
import re
from collections.abc import Iterator, Sequence

__all__ = ["unified_diff"]

_CONTEXT = 3
_MOST_COMPARED = 2000
"""How many lines are compared with each other: the time grows with the square, to half a second for this many."""
_PLACES = re.compile(r"@@ -(\d+)(.*) \+(\d+)(.*) @@")


def unified_diff(before: Sequence[str], after: Sequence[str], left: str, right: str) -> Iterator[str]:
    """Yield the lines of a unified diff, named ``left`` and ``right``; none if both texts have the same lines.

    From the first line that differs to the last, at most 2000 are compared with each other. More are shown as replaced.
    """
    same = _common(before, after)
    if same == len(before) == len(after):
        return
    at_end = _common(before[: same - 1 if same else None : -1], after[: same - 1 if same else None : -1])
    start, rest = max(0, same - _CONTEXT), max(0, at_end - _CONTEXT)
    old, new = before[start : len(before) - rest], after[start : len(after) - rest]
    if max(len(old), len(new)) <= _MOST_COMPARED:
        changes = difflib.unified_diff(old, new, left, right, lineterm="", n=_CONTEXT)
    else:
        changes = _replaced(old, new, left, right, top=same - start, bottom=at_end - rest)
    for line in changes:
        places = _PLACES.fullmatch(line) if line.startswith("@@") else None
        if places is None:
            yield line
        else:
            yield f"@@ -{int(places[1]) + start}{places[2]} +{int(places[3]) + start}{places[4]} @@"


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many lines are equal at the beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _replaced(old: Sequence[str], new: Sequence[str], left: str, right: str, *, top: int, bottom: int) -> Iterator[str]:
    yield from (f"--- {left}", f"+++ {right}")
    yield f"@@ -{min(1, len(old))},{len(old)} +{min(1, len(new))},{len(new)} @@"
    yield from (f" {line}" for line in old[:top])
    yield from (f"-{line}" for line in old[top : len(old) - bottom])
    yield from (f"+{line}" for line in new[top : len(new) - bottom])
    yield from (f" {line}" for line in old[len(old) - bottom :])
