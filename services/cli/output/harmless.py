"""Texts that do nothing to the terminal that shows them: they may come from a request, a step or a worker."""

import re

__all__ = ["ACTS", "COLOUR", "harmless"]

ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal acts on, apart from tabs and line ends: escapes and what turns the direction of a text."""
COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def harmless(text: str) -> str:
    """Return ``text`` with escapes for what a terminal acts on. Colours, tabs and line ends stay as they are."""
    if text.isprintable():
        return text
    pieces = COLOUR.split(text)
    pieces[::2] = [ACTS.sub(lambda found: repr(found[0])[1:-1], piece) for piece in pieces[::2]]
    return "".join(pieces)
