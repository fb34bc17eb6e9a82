"""Draws where a process spends its time: a box for each function, as wide as its share, below its caller."""

import html
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["flame"]

_WIDTH, _ROW, _LETTER = 1200, 17, 6.2
_LEAST = 0.004
"""Narrower boxes are left out."""
_OWN, _LIBRARY = "#93c5fd", "#e5e7eb"
_OWN_CODE = ("(shared/", "(services/")


@dataclass(slots=True)
class _Box:
    count: int = 0
    below: "dict[str, _Box]" = field(default_factory=dict)


def flame(stacks: Iterable[tuple[list[str], int]], title: str) -> str:
    """Return an SVG. ``stacks``: functions from the outermost to the innermost, and how often they were seen.

    Names of functions end with their file in parentheses. Own code has a colour of its own. A pointer over a box shows
    the whole name and the share.
    """
    root = _Box()
    for stack, count in stacks:
        box = root
        box.count += count
        for name in stack:
            box = box.below.setdefault(name, _Box())
            box.count += count
    drawn: list[str] = []
    depth = _draw(root, 0.0, 0, root.count or 1, drawn)
    height = (depth + 2) * _ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="11">'
    )
    ground = f'<rect width="{_WIDTH}" height="{height}" fill="white"/>'
    return "\n".join([head, ground, f'<text x="4" y="13">{html.escape(title)}</text>', *drawn, "</svg>\n"])


def _draw(box: _Box, left: float, depth: int, total: int, drawn: list[str]) -> int:
    """Draw the boxes below one, most frequent first, and return the depth of the deepest."""
    deepest = depth
    for name, below in sorted(box.below.items(), key=lambda each: -each[1].count):
        share = below.count / total
        if share < _LEAST:
            break
        width, top = share * _WIDTH, (depth + 1) * _ROW
        colour = _OWN if any(folder in name for folder in _OWN_CODE) else _LIBRARY
        room = int((width - 6) / _LETTER)
        label = name if len(name) <= room else name.partition(" (")[0][:room] if room > 2 else ""
        drawn.append(
            f'<g><title>{html.escape(name)}: {share:.1%}</title><rect x="{left:.1f}" y="{top}" width="{width:.1f}"'
            f' height="{_ROW - 1}" fill="{colour}" stroke="white"/>'
            f'<text x="{left + 3:.1f}" y="{top + 12}">{html.escape(label)}</text></g>'
        )
        deepest = max(deepest, _draw(below, left, depth + 1, total, drawn))
        left += width
    return deepest
