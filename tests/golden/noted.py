"""The messages, tables and stored words recorded at the last release, and those of this version."""

from pathlib import Path

import shared.contracts.codec  # noqa: F401 - it imports every module that defines messages
from shared.contracts.base import MESSAGE_TYPES
from shared.store import tables as t
from tests.golden.shapes import message_lines, table_lines

__all__ = ["MESSAGES", "SCHEMA", "WORDS", "current_messages", "current_schema"]

_HERE = Path(__file__).parent
MESSAGES, SCHEMA, WORDS = _HERE / "messages.txt", _HERE / "schema.txt", _HERE / "words.txt"


def current_messages() -> list[str]:
    """Return the shapes of the messages of this version."""
    return message_lines({name: cls for name, cls in MESSAGE_TYPES.items() if cls.__module__.startswith("shared.")})


def current_schema() -> list[str]:
    """Return the shapes of the tables of this version."""
    return table_lines(t.metadata)
