"""Serves the embedded transport to one other process: the worker's, in `dagway up`."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import count

from shared.errors import DagwayError
from shared.transport.base import Delivery, Outgoing
from shared.transport.embedded.consumer import EmbeddedConsumer
from shared.transport.embedded.frame_socket import FrameSocket
from shared.transport.embedded.frames import AGAIN, URGENT, Frame, Kind, encode_frame, pack_queue, unpack_queue
from shared.transport.embedded.transport import EmbeddedTransport

__all__ = ["LinkServer"]

_MOST = 1_000
"""More messages than a consumer may have unsettled: the prefetch limits what it gets."""


class _PushingConsumer(EmbeddedConsumer):
    """A consumer that passes on each message as soon as it may have it. Nobody calls ``take``."""

    def __init__(self, transport: EmbeddedTransport, prefetch: int, push: Callable[[Delivery], None]) -> None:
        super().__init__(transport, prefetch)
        self._push = push

    def wake(self) -> None:
        for delivery in self._pull(_MOST):
            self._push(delivery)


class LinkServer:
    """Carries out what the other process asks of ``transport``, until the socket ends.

    When it ends, the unsettled deliveries of its consumers return to their broker queues.
    """

    def __init__(self, transport: EmbeddedTransport, sock: socket.socket) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._consumers: dict[int, _PushingConsumer] = {}
        self._unsettled: dict[int, tuple[int, Delivery]] = {}
        """By number of the delivery: its consumer and itself."""
        self._frames = FrameSocket(sock, "link", self._on_frame, self._on_end)
        self._frames.start()

    def close(self) -> None:
        """End the connection."""
        self._frames.close()

    def _on_frame(self, frame: Frame) -> None:
        kind, number, parts = frame
        if kind is Kind.SEND:
            queue, message_id, flags, body = parts
            how = {"again": AGAIN in flags, "urgent": URGENT in flags}
            message = Outgoing(unpack_queue(queue), body, message_id.decode(), **how)
            self._transport.send(message).add_done_callback(partial(self._sent, number))
        elif kind is Kind.SETTLE:
            self._settle(number, parts[0].decode(), parts[1].decode())
        elif kind is Kind.REPLY and (kept := self._unsettled.get(number)) is not None:
            kept[1].reply(parts[0])
        elif kind in (Kind.CONSUME, Kind.ADD_QUEUE):
            try:
                self._consume(frame)
            except DagwayError as error:
                self._done(number, error)
            else:
                self._done(number, None)
        elif kind is Kind.LISTEN:
            listener, *topics = parts
            self._transport.listen([topic.decode() for topic in topics], partial(self._heard, int(listener)))
            self._done(number, None)
        elif kind in (Kind.PAUSE, Kind.RESUME):
            # One thread of the other process may close a consumer while another one pauses it.
            if (consumer := self._consumers.get(number)) is not None:
                consumer.pause() if kind is Kind.PAUSE else consumer.resume()
        elif kind is Kind.CLOSE:
            self._close(number)

    def _consume(self, frame: Frame) -> None:
        consumer = int(frame.parts[0])
        queues = frame.parts[1:]
        if frame.kind is Kind.CONSUME:
            prefetch, *queues = queues  # type: ignore[assignment]
            self._consumers[consumer] = _PushingConsumer(
                self._transport, int(prefetch), partial(self._deliver, consumer)
            )
        for queue in queues:
            self._consumers[consumer].add_queue(unpack_queue(queue))

    def _deliver(self, consumer: int, delivery: Delivery) -> None:
        with self._lock:
            number = next(self._numbers)
            self._unsettled[number] = (consumer, delivery)
        parts = (b"%d" % consumer, pack_queue(delivery.queue), delivery.message_id.encode())
        flag = b"1" if delivery.redelivered else b""
        self._frames.send(encode_frame(Kind.DELIVERY, number, *parts, flag, delivery.body))

    def _settle(self, number: int, how: str, why: str) -> None:
        with self._lock:
            _, delivery = self._unsettled.pop(number, (0, None))
        if delivery is None:
            return
        if how == "ack":
            delivery.ack()
        elif how == "retry":
            delivery.retry()
        else:
            delivery.dead_letter(why)

    def _close(self, number: int) -> None:
        consumer = self._consumers.pop(number, None)
        if consumer is None:
            return
        with self._lock:
            self._unsettled = {name: kept for name, kept in self._unsettled.items() if kept[0] != number}
        consumer.close()

    def _sent(self, number: int, accepted: "Future[None]") -> None:
        error = accepted.exception()
        self._done(number, error if isinstance(error, DagwayError) else None)

    def _done(self, number: int, error: DagwayError | None) -> None:
        parts = (b"", b"") if error is None else (type(error).__name__.encode(), str(error).encode())
        self._frames.send(encode_frame(Kind.DONE, number, *parts))

    def _heard(self, listener: int, topic: str, body: bytes) -> None:
        self._frames.send(encode_frame(Kind.HEARD, listener, topic.encode(), body))

    def _on_end(self) -> None:
        for number in list(self._consumers):
            self._close(number)
