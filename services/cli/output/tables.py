"""Tables as lines: columns by their longest cell, never cut, so that programs can read them too."""

import unicodedata
from collections.abc import Iterator, Sequence

from services.cli.output.harmless import COLOUR, harmless

__all__ = ["table", "width"]

_GAP = "  "


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: wide characters take two, colours none."""
    plain = COLOUR.sub("", text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in plain
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table. An empty cell is a dash, so that each line has all columns."""
    cells = [list(head), *[[harmless(cell).replace("\n", " ") or "-" for cell in row] for row in rows]]
    widths = [max(width(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        padded = [cell + " " * (widths[column] - width(cell)) for column, cell in enumerate(row)]
        yield _GAP.join(padded).rstrip()
