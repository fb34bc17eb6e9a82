"""Server-Sent Events, as clients of the API read them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["EventParser", "StreamEvent"]


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event. ``data`` is ``None`` if it only tells the place in the stream."""

    id: str
    data: Any


class EventParser:
    """Finds the events in the pieces of one stream. A piece may end anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[StreamEvent]:
        """Yield the events that end in this piece."""
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        for block in blocks:
            lines = [line.partition(": ") for line in block.decode("utf-8", "replace").split("\n")]
            event_id = next((value for name, _, value in lines if name == "id"), "")
            data = "\n".join(value for name, _, value in lines if name == "data")
            if event_id or data:
                yield StreamEvent(event_id, json.loads(data) if data else None)
