"""Replies to one asker in one message: to the broker and to both ends a message costs more than what is in it."""

import struct
from collections.abc import Iterable, Iterator

__all__ = ["pack", "unpack"]

_LENGTHS = struct.Struct(">HI")


def pack(replies: Iterable[tuple[str, bytes]]) -> bytes:
    """Return ``(correlation id, body)`` pairs as one body."""
    parts = []
    for asked, body in replies:
        name = asked.encode()
        parts += [_LENGTHS.pack(len(name), len(body)), name, body]
    return b"".join(parts)


def unpack(packed: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what ``pack`` was given."""
    at = 0
    while at < len(packed):
        name, body = _LENGTHS.unpack_from(packed, at)
        at += _LENGTHS.size
        yield packed[at : at + name].decode(), packed[at + name : at + name + body]
        at += name + body
