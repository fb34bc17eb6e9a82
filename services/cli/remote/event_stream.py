"""Event streams: reads Server-Sent Events, and continues after the last event when the connection is lost."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from services.cli.errors import GatewayUnreachable
from shared.event_stream import StreamEvent, parse_events

__all__ = ["EventSource", "follow"]

_PATIENCE_S = 600.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class EventSource(Protocol):
    """What can open an event stream: ``Gateway``."""

    def stream(self, path: str, last_id: str) -> Iterator[bytes] | None:
        """Yield the bytes of a stream after the event ``last_id``; return ``None`` if the stream has ended."""


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
