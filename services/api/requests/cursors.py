"""Cursors of pages: where a list goes on, as a text that clients send back as they got it."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from services.api.problems import bad_request

__all__ = ["moment", "read_cursor", "write_cursor"]

T = TypeVar("T")


def write_cursor(*values: str | int) -> str:
    """Return a cursor with these values, which ``read_cursor`` gives back."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def read_cursor(text: str, place_of: Callable[[list[Any]], T | None]) -> T:
    """Return what ``place_of`` makes of the values in a cursor.

    Raises a 400 if it makes ``None`` of them, or if no gateway has written the text.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        # Neither a lone surrogate, which raises here, nor a NUL may reach a database.
        storable = b"\\u0000" not in json.dumps(values, ensure_ascii=False).encode()
        place = place_of(values) if storable else None
    except (ValueError, OverflowError, RecursionError):
        place = None
    if place is None:
        raise bad_request("cursor: must be the nextCursor of a page", field="cursor")
    return place


def moment(text: str) -> datetime:
    """Return the time in a cursor, in UTC. Raises ``ValueError`` or ``OverflowError``."""
    return datetime.fromisoformat(text).astimezone(UTC)
