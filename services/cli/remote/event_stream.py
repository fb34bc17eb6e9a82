"""Event streams: reads Server-Sent Events, and continues after the last event when the connection is lost."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from services.cli.errors import GatewayUnreachable
from services.cli.remote.patience import Patience
from shared.event_stream import EventParser, StreamEvent

__all__ = ["EventSource", "follow"]

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
    patience: Patience | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[StreamEvent]:
    """Yield the events of a stream, without a gap and without a repetition, until it has ended.

    The gateway ends each connection after a while; then, and when it is lost, the stream is opened again after the
    last event, as long as ``patience`` allows.

    Raises:
        GatewayUnreachable: no connection was possible for too long.
    """
    patience = patience or Patience()
    wait_s = _FIRST_PAUSE_S
    while True:
        try:
            pieces = source.stream(path, last_id)
            if pieces is None:
                return
            wait_s, parser = _FIRST_PAUSE_S, EventParser()
            for piece in pieces:
                patience.found()
                for event in parser.feed(piece):
                    last_id = event.id or last_id
                    if event.data is not None:
                        yield event
            pause(_FIRST_PAUSE_S)  # a gateway that stops ends the stream at once
        except GatewayUnreachable as error:
            patience.lost(error)
            pause(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_PAUSE_S)
