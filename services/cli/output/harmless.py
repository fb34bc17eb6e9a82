"""Texts that do nothing to the terminal that shows them: they may come from a request, a step or a worker."""

import re

from services.cli.log_tail import LogLine

__all__ = ["ACTS", "COLOUR", "StepColours", "harmless", "line_as_shown"]

ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal acts on, apart from tabs and line ends: escapes and what turns the direction of a text."""
COLOUR = re.compile(r"(\x1b\[[0-9;:]{0,99}m)")
"""One that is longer is none: what is on is written before each line."""
_RESETS = ("\x1b[m", "\x1b[0m")
_MOST_ON = 8
"""How many colours are kept of a program that never resets them."""
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


def line_as_shown(line: str, colours: str = "") -> str:
    """Return a line that a program wrote as it stands on a terminal in the end, harmless, with its colours.

    ``colours`` are on before it. As on the pages, only the last state of a progress bar is kept. Compilers clear the
    rest of the line after a colour; that is left out.
    """
    if line.isprintable():
        return harmless(colours + line)
    *before, shown = line.split("\r")
    while before and not COLOUR.sub("", _only_colours(shown)):
        shown = before.pop()
    # The colours of the earlier states hold all the same.
    return harmless(_still_on(colours + "".join(before)) + _only_colours(shown))


def _only_colours(text: str) -> str:
    return _SEQUENCE.sub(lambda found: found[0] if COLOUR.fullmatch(found[0]) else "", text)


def _still_on(text: str) -> str:
    """Return the colours that are on after ``text``."""
    found = COLOUR.findall(text)
    since = max((place for place, each in enumerate(found, 1) if each in _RESETS), default=0)
    return "".join(found[since:][-_MOST_ON:])


class StepColours:
    """Which colours are on in the output of steps: they hold beyond a line, but not for the lines of others between."""

    def __init__(self) -> None:
        self._on: dict[tuple[str, str], str] = {}

    def before(self, line: LogLine) -> str:
        """Return the colours that are on before the next line of a step and stream."""
        of = line.step, line.stream
        before = self._on.get(of, "")
        self._on[of] = _still_on(before + line.text)
        return before
