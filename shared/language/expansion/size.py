"""How long an expanded text may be.

A text of 1 MiB can refer hundreds of thousands of times to a value that itself consists of references, and so on.
Whoever wrote a few lines could otherwise fill the memory of a scheduler.
"""

from collections.abc import Iterable

__all__ = ["MOST_CHARS", "MOST_VALUES_CHARS", "ExpansionError", "check_size", "joined"]

MOST_CHARS = 16 * 1024 * 1024
"""For each expanded text, in characters."""
MOST_VALUES_CHARS = 2 * 1024 * 1024
"""For the names and values of ``env``, and for those of the params. Linux gives a process at most 2 MiB of both."""


class ExpansionError(ValueError):
    """The variable of a reference ``${X:?message}`` is not set, or the expanded text is too long."""


def check_size(chars: int, most: int = MOST_CHARS) -> None:
    """Raise ``ExpansionError`` if a text of so many characters is too long."""
    if chars > most:
        raise ExpansionError(f"the expanded text is longer than {most} characters")


def joined(pieces: Iterable[str], most: int = MOST_CHARS) -> str:
    """Join the pieces of an expanded text. As soon as it is too long, raise ``ExpansionError`` and take no more."""
    chars, found = 0, []
    for piece in pieces:
        chars += len(piece)
        check_size(chars, most)
        found.append(piece)
    return "".join(found)
