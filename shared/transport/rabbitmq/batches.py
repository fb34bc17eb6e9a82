"""Batches: several messages that travel as one AMQP message, because each AMQP message costs more than its content.

A batch is an AMQP message with the content type ``BATCH``. Its body contains each message with its id and correlation
id. The receiver delivers the messages one by one, and acknowledges the batch when all of them are settled.
"""

import logging
import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

__all__ = ["BATCH", "BatchItem", "pack", "parts_of", "unpack"]

BATCH = "application/vnd.dagway.parcel"
_log = logging.getLogger(__name__)
_LENGTHS = struct.Struct(">HHI")
_LONGEST_ID = 255
"""In bytes, as for AMQP: a message of a batch may be sent on alone."""


class BatchItem(NamedTuple):
    """One message of a batch. ``correlation_id`` is empty if no reply is awaited."""

    message_id: str
    correlation_id: str
    body: bytes


def pack(parts: Iterable[BatchItem]) -> bytes:
    """Return the body of a batch."""
    packed = []
    for part in parts:
        names = part.message_id.encode(), part.correlation_id.encode()
        packed += [_LENGTHS.pack(*map(len, names), len(part.body)), *names, part.body]
    return b"".join(packed)


def unpack(packed: bytes) -> list[BatchItem]:
    """Return the messages in the body of a batch. Raises ``ValueError`` if ``packed`` is not such a body."""
    if not packed:
        raise ValueError("not a batch: it is empty")
    try:
        return list(_parts(packed))
    except struct.error as error:
        raise ValueError(f"not a batch: {error}") from error


def _parts(packed: bytes) -> Iterator[BatchItem]:
    at = 0
    while at < len(packed):
        lengths = _LENGTHS.unpack_from(packed, at)
        begins = at + _LENGTHS.size
        middle, last = begins + lengths[0], begins + lengths[0] + lengths[1]
        at = last + lengths[2]
        if at > len(packed):
            raise ValueError("not a batch: it is cut off")
        if max(lengths[:2]) > _LONGEST_ID:
            raise ValueError("not a batch: it has an id that is too long")
        yield BatchItem(packed[begins:middle].decode(), packed[middle:last].decode(), packed[last:at])


def parts_of(properties: Any, body: bytes) -> list[BatchItem]:
    """Return the messages in an AMQP message. A batch that cannot be unpacked is returned as one message."""
    if properties.content_type == BATCH:
        try:
            return unpack(body)
        except ValueError as error:
            _log.error("parcel.unreadable", extra={"message_id": properties.message_id, "error": str(error)})
    return [BatchItem(properties.message_id or "", properties.correlation_id or "", body)]
