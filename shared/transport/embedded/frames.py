"""Frames: what two processes of `dagway up` send each other over a stream socket. Pure.

A frame is its length (4 bytes), its kind (1 byte), a number (8 bytes) and its parts, each after its length (4 bytes).
All numbers are unsigned and big-endian. What number and parts mean follows from the kind; see ``Kind``.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from shared.transport.base import BrokerQueue, Durability, Exchange

__all__ = ["AGAIN", "URGENT", "Frame", "FrameReader", "Kind", "encode_frame", "pack_queue", "unpack_queue"]

_HEAD = struct.Struct(">IBQ")
_LENGTH = struct.Struct(">I")
AGAIN, URGENT = b"a", b"u"
"""The flags of a message that is sent; see ``Outgoing``."""


class Kind(IntEnum):
    """The kinds of frames, each with its number and its parts."""

    SEND = 1
    """Call; broker queue, message id, flags (``AGAIN``, ``URGENT``), body. Send a message."""
    CONSUME = 2
    """Call; consumer, prefetch, broker queues. Open a consumer."""
    ADD_QUEUE = 3
    """Call; consumer, broker queue."""
    LISTEN = 4
    """Call; listener, topics. Pass on all broadcasts to them from now on."""
    PAUSE = 5
    """Consumer."""
    RESUME = 6
    """Consumer."""
    CLOSE = 7
    """Consumer."""
    SETTLE = 8
    """Delivery; how (``ack``, ``retry`` or ``dead``), reason."""
    REPLY = 9
    """Delivery; body. Must come before the delivery is settled."""
    DONE = 20
    """Call; name and text of the error, both empty if there is none. The result of a call."""
    DELIVERY = 21
    """Delivery; consumer, broker queue, message id, ``1`` if it was delivered or sent before, body."""
    HEARD = 22
    """Listener; topic, body. A broadcast."""


class Frame(NamedTuple):
    """One frame. ``number`` is that of a call, consumer, listener or delivery, chosen by the process that made it."""

    kind: Kind
    number: int
    parts: tuple[bytes, ...]


def encode_frame(kind: Kind, number: int = 0, *parts: bytes) -> bytes:
    """Return the bytes of a frame."""
    size = _HEAD.size - _LENGTH.size + sum(map(len, parts)) + _LENGTH.size * len(parts)
    pieces = [_HEAD.pack(size, kind, number)]
    for part in parts:
        pieces += (_LENGTH.pack(len(part)), part)
    return b"".join(pieces)


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with ``data``, the next bytes of the stream."""
        kept = self._kept
        kept += data
        place = 0
        try:
            with memoryview(kept) as view:
                while len(view) - place >= _LENGTH.size:
                    end = place + _LENGTH.size + _LENGTH.unpack_from(view, place)[0]
                    if len(view) < end:
                        return
                    frame = _decode(view, place, end)
                    place = end
                    yield frame
        finally:
            del kept[:place]


def _decode(data: memoryview, start: int, end: int) -> Frame:
    _, kind, number = _HEAD.unpack_from(data, start)
    place = start + _HEAD.size
    parts: list[bytes] = []
    while place < end:
        size = _LENGTH.unpack_from(data, place)[0]
        place += _LENGTH.size
        parts.append(bytes(data[place : place + size]))
        place += size
    return Frame(Kind(kind), number, tuple(parts))


@lru_cache(maxsize=1024)
def pack_queue(queue: BrokerQueue) -> bytes:
    """Return a broker queue as a part of a frame."""
    return json.dumps(asdict(queue)).encode()


@lru_cache(maxsize=1024)
def unpack_queue(part: bytes) -> BrokerQueue:
    """Return the broker queue that ``pack_queue`` packed."""
    fields = json.loads(part)
    fields["durability"], fields["exchange"] = Durability(fields["durability"]), Exchange(fields["exchange"])
    return BrokerQueue(**fields)
