"""Texts that do nothing to the terminal that shows them: they may come from a request, a step or a worker."""

import re

__all__ = ["ACTS", "COLOUR", "harmless", "line_as_shown"]

ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal acts on, apart from tabs and line ends: escapes and what turns the direction of a text."""
COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")
_RESETS = ("\x1b[m", "\x1b[0m")
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
"""Colours and what else moves or clears something; titles and other texts for the terminal itself."""


def harmless(text: str) -> str:
    """Return ``text`` with escapes for what a terminal acts on. Colours, tabs and line ends stay as they are.

    Colours end with the text: there is one that hides all that is printed after it.
    """
    if text.isprintable():
        return text
    pieces = COLOUR.split(text)
    pieces[::2] = [ACTS.sub(lambda found: repr(found[0])[1:-1], piece) for piece in pieces[::2]]
    if len(pieces) > 1 and pieces[-2] not in _RESETS:
        pieces.append("\x1b[0m")
    return "".join(pieces)


def line_as_shown(line: str) -> str:
    """Return a line that a program wrote as it stands on a terminal in the end, harmless, with its colours.

    As on the pages, only the last state of a progress bar is kept. Compilers clear the rest of the line after a
    colour; that is left out.
    """
    if line.isprintable():
        return line
    states = (
        _SEQUENCE.sub(lambda found: found[0] if COLOUR.fullmatch(found[0]) else "", state)
        for state in line.split("\r")[::-1]
    )
    return harmless(next((state for state in states if COLOUR.sub("", state)), ""))
