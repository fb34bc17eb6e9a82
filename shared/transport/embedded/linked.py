"""The embedded transport as another process reaches it: the worker's, in `dagway up`.

The process with the ``EmbeddedTransport`` serves it by a ``LinkServer`` at the other end of a socket. When that end
closes, its process is gone and with it the transport: every send then fails.
"""

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count

from shared.errors import BrokerUnavailable, ConfigInvalid, DagwayError, PublishUnconfirmed, Unroutable
from shared.transport.base import BrokerQueue, Consumer, Delivery, Outgoing
from shared.transport.embedded.frame_socket import FrameSocket
from shared.transport.embedded.frames import AGAIN, URGENT, Frame, Kind, encode_frame, pack_queue, unpack_queue
from shared.transport.futures import settle

__all__ = ["LinkedTransport"]

_ERRORS: dict[str, type[DagwayError]] = {
    each.__name__: each for each in (BrokerUnavailable, ConfigInvalid, PublishUnconfirmed, Unroutable)
}
_log = logging.getLogger(__name__)
_GONE = "the process of the scheduler has ended"


class LinkedTransport:
    """Implements ``shared.transport.base.WorkerTransport`` over a socket to a ``LinkServer``.

    ``on_end`` is called if the server's end closes first.
    """

    def __init__(self, sock: socket.socket, on_end: Callable[[], None] = lambda: None) -> None:
        self._on_end = on_end
        self._lock = threading.Lock()
        self._calls = count(1)
        self._waiting: dict[int, Future[None]] = {}
        self._consumer_numbers = count(1)
        self._consumers: dict[int, _LinkedConsumer] = {}
        self._listeners: list[Callable[[str, bytes], None]] = []
        self._ended = False
        self._frames = FrameSocket(sock, "link", self._on_frame, self._ended_there)
        self._frames.start()

    @property
    def one_program(self) -> bool:
        return True

    @property
    def healthy(self) -> bool:
        return not self._ended

    @property
    def forbidden(self) -> tuple[str, ...]:
        return ()

    def send(self, message: Outgoing) -> "Future[None]":
        flags = AGAIN * message.again + URGENT * message.urgent
        return self.call(Kind.SEND, pack_queue(message.queue), message.message_id.encode(), flags, message.body)

    def consume(self, queues: Sequence[BrokerQueue], *, prefetch: int, acks_wait_s: float = 0) -> Consumer:  # noqa: ARG002
        # ``acks_wait_s`` is not needed: the journal writes all acknowledgements that arrive during a commit together.
        with self._lock:
            number = next(self._consumer_numbers)
            consumer = self._consumers[number] = _LinkedConsumer(self, number)
        self.call(Kind.CONSUME, b"%d" % number, b"%d" % prefetch, *map(pack_queue, queues)).result()
        return consumer

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        with self._lock:
            number = len(self._listeners)
            self._listeners.append(callback)
        self.call(Kind.LISTEN, b"%d" % number, *(topic.encode() for topic in topics)).result()

    def close(self) -> None:
        self._end(BrokerUnavailable("the transport was closed"))
        self._frames.close()

    def call(self, kind: Kind, *parts: bytes) -> "Future[None]":
        """Call a function of the transport in the other process; return a future of its result or error."""
        done: Future[None] = Future()
        with self._lock:
            if self._ended:
                done.set_exception(BrokerUnavailable(_GONE))
                return done
            number = next(self._calls)
            self._waiting[number] = done
        self._frames.send(encode_frame(kind, number, *parts))
        return done

    def forget(self, number: int) -> None:
        """Drop a consumer that was closed."""
        with self._lock:
            self._consumers.pop(number, None)

    def tell(self, kind: Kind, number: int, *parts: bytes) -> None:
        """Send a frame that has no result."""
        self._frames.send(encode_frame(kind, number, *parts))

    def _on_frame(self, frame: Frame) -> None:
        if frame.kind is Kind.DONE:
            name, text = frame.parts
            with self._lock:
                waiting = self._waiting.pop(frame.number, None)
            if waiting is not None:  # else it failed when this end was closed
                settle(waiting, _ERRORS[name.decode()](text.decode()) if name else None)
        elif frame.kind is Kind.DELIVERY:
            # Frames that were under way when the consumer was closed may still arrive.
            if (consumer := self._consumers.get(int(frame.parts[0]))) is not None:
                consumer.arrived(_LinkedDelivery(consumer, frame))
        elif frame.kind is Kind.HEARD:
            topic = frame.parts[0].decode()
            try:
                self._listeners[frame.number](topic, frame.parts[1])
            except Exception:  # noqa: BLE001 - logged
                # A failed callback must not stop the next broadcast.
                _log.exception("listener.callback_failed", extra={"topic": topic})

    def _ended_there(self) -> None:
        if not self._ended:
            self._end(PublishUnconfirmed(_GONE))
            self._on_end()

    def _end(self, error: DagwayError) -> None:
        with self._lock:
            self._ended = True
            waiting, self._waiting = self._waiting, {}
            consumers = list(self._consumers.values())
        for each in waiting.values():
            settle(each, error)
        for consumer in consumers:
            consumer.end()


class _LinkedDelivery:
    """See ``shared.transport.base.Delivery``."""

    __slots__ = ("_consumer", "arrived_s", "body", "message_id", "number", "queue", "redelivered")

    def __init__(self, consumer: "_LinkedConsumer", frame: Frame) -> None:
        _, queue, message_id, redelivered, self.body = frame.parts
        self._consumer, self.number = consumer, frame.number
        self.queue, self.message_id, self.redelivered = unpack_queue(queue), message_id.decode(), redelivered == b"1"
        self.arrived_s = time.monotonic()

    @property
    def held(self) -> bool:
        return self._consumer.holds(self.number)

    def ack(self) -> None:
        self._consumer.settle(self.number, "ack", "")

    def retry(self) -> None:
        self._consumer.settle(self.number, "retry", "")

    def dead_letter(self, why: str) -> None:
        self._consumer.settle(self.number, "dead", why)

    def reply(self, body: bytes) -> None:
        self._consumer.reply(self.number, body)


class _LinkedConsumer:
    """See ``shared.transport.base.Consumer``. The other process keeps to the prefetch."""

    def __init__(self, transport: LinkedTransport, number: int) -> None:
        self._transport, self._number = transport, number
        self._arrival = threading.Condition()
        self._ready: deque[_LinkedDelivery] = deque()
        self._unsettled: set[int] = set()
        self._interrupted = False
        self._ended = False
        self._since: float | None = time.monotonic()

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        with self._arrival:
            self._arrival.wait_for(lambda: self._ready or self._interrupted or self._ended, timeout_s)
            self._interrupted = False
            return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    def interrupt(self) -> None:
        with self._arrival:
            self._interrupted = True
            self._arrival.notify_all()

    def pause(self) -> None:
        self._since = None
        self._transport.tell(Kind.PAUSE, self._number)

    def wind_down(self) -> None:
        self.pause()  # what is on its way arrives all the same

    def resume(self) -> None:
        self._since = self._since or time.monotonic()
        self._transport.tell(Kind.RESUME, self._number)

    def add_queue(self, queue: BrokerQueue) -> None:
        self._transport.call(Kind.ADD_QUEUE, b"%d" % self._number, pack_queue(queue)).result()

    @property
    def connected_for_s(self) -> float:
        since = self._since
        return 0.0 if since is None or self._ended else time.monotonic() - since

    def close(self) -> None:
        self.end()
        self._transport.forget(self._number)
        self._transport.tell(Kind.CLOSE, self._number)

    def arrived(self, delivery: _LinkedDelivery) -> None:
        """Keep a delivery for ``take``."""
        with self._arrival:
            if not self._ended:
                self._unsettled.add(delivery.number)
                self._ready.append(delivery)
                self._arrival.notify()

    def end(self) -> None:
        """Forget all deliveries: the other process returns them to their broker queues."""
        with self._arrival:
            self._ended = True
            self._ready.clear()
            self._unsettled.clear()
            self._arrival.notify_all()

    def holds(self, number: int) -> bool:
        """Return whether a delivery is not settled."""
        with self._arrival:
            return number in self._unsettled

    def settle(self, number: int, how: str, why: str) -> None:
        """Settle a delivery once: ``how`` is ``ack``, ``retry`` or ``dead``, with the reason ``why``."""
        with self._arrival:
            if number not in self._unsettled:
                return
            self._unsettled.discard(number)
        self._transport.tell(Kind.SETTLE, number, how.encode(), why.encode())

    def reply(self, number: int, body: bytes) -> None:
        """Send a reply to the sender of a delivery that is not settled."""
        self._transport.tell(Kind.REPLY, number, body)
