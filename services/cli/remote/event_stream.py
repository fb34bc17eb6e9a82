"""Event streams: reads Server-Sent Events, and continues after the last event when the connection is lost."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from services.cli.exit_codes import GatewayUnreachable

__all__ = ["EventSource", "StreamEvent", "follow", "parse_events"]

_PATIENCE_S = 600.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event. ``data`` is ``None`` if it only tells the place in the stream."""

    id: str
    data: Any


class EventSource(Protocol):
    """What can open an event stream: ``Gateway``."""

    def stream(self, path: str, last_id: str) -> Iterator[bytes] | None:
        """Yield the bytes of a stream after the event ``last_id``; return ``None`` if the stream has ended."""


def parse_events(pieces: Iterable[bytes]) -> Iterator[StreamEvent]:
    """Yield the events in pieces of a stream. A piece may end anywhere."""
    rest = b""
    for piece in pieces:
        *blocks, rest = (rest + piece).split(b"\n\n")
        for block in blocks:
            lines = [line.partition(": ") for line in block.decode("utf-8", "replace").split("\n")]
            event_id = next((value for name, _, value in lines if name == "id"), "")
            data = "\n".join(value for name, _, value in lines if name == "data")
            if event_id or data:
                yield StreamEvent(event_id, json.loads(data) if data else None)


def follow(
    source: EventSource,
    path: str,
    *,
    last_id: str = "",
    on_lost: Callable[[GatewayUnreachable], None] = lambda _error: None,
    patience_s: float = _PATIENCE_S,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[StreamEvent]:
    """Yield the events of a stream, without a gap and without a repetition, until it has ended.

    The gateway ends each connection after a while; then, and when it is lost, the stream is opened again after the
    last event. ``on_lost`` is called once for each interruption.

    Raises:
        GatewayUnreachable: no connection was possible for ``patience_s`` seconds.
    """
    lost_at: float | None = None
    wait_s = _FIRST_PAUSE_S
    while True:
        try:
            pieces = source.stream(path, last_id)
            if pieces is None:
                return
            wait_s = _FIRST_PAUSE_S
            for event in parse_events(pieces):
                lost_at = None
                last_id = event.id or last_id
                if event.data is not None:
                    yield event
            lost_at = None
            pause(_FIRST_PAUSE_S)  # a gateway that stops ends the stream at once
        except GatewayUnreachable as error:
            if lost_at is None:
                lost_at = clock()
                on_lost(error)
            elif clock() - lost_at > patience_s:
                raise
            pause(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_PAUSE_S)
