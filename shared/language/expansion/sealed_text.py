"""The form of sealed values. Only workers can seal and open them; others recognize them, and show stars.

``dagway-sealed:v1:KEY:DATA:``, where ``KEY`` is the id of the key and ``DATA`` is base64 for URLs. The form has no
character that the syntax of parameters, JSON or a shell treats specially, and ends with a colon so that any text may
follow it.
"""

import base64
import re
from collections.abc import Callable

__all__ = ["has_sealed", "is_sealed", "replace_sealed", "sealed_text"]

_PREFIX = "dagway-sealed:v1:"
_SEALED = re.compile(_PREFIX + r"([A-Za-z0-9_.-]{1,32}):((?:[A-Za-z0-9_-]{4})*[A-Za-z0-9_-]{2,4}):")
"""Of base64 only: no data has a form with one character more than a multiple of four."""


def sealed_text(key_id: str, data: bytes) -> str:
    """Return the text of a sealed value."""
    return f"{_PREFIX}{key_id}:{base64.urlsafe_b64encode(data).decode().rstrip('=')}:"


def has_sealed(text: str) -> bool:
    """Return whether ``text`` contains a sealed value."""
    return _PREFIX in text and _SEALED.search(text) is not None


def is_sealed(text: str) -> bool:
    """Return whether ``text`` is one sealed value and nothing else, apart from spaces around it."""
    return _SEALED.fullmatch(text.strip()) is not None


def replace_sealed(text: str, replacement: Callable[[str, bytes], str]) -> str:
    """Replace each sealed value in ``text`` by ``replacement(key id, data)``."""

    def replaced(found: re.Match[str]) -> str:
        return replacement(found[1], base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)))

    return _SEALED.sub(replaced, text) if _PREFIX in text else text
