"""The transport inside one process: the same promises as RabbitMQ's, without a broker.

A consumer pulls from its routes' queues when ``take`` is called, so nothing is under way to anybody
and a pause takes effect at once. Messages of SAFE routes are on disk before their send is accepted
and come back after a crash with ``redelivered`` set; the others live in memory, as their routes allow.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from shared.errors import BrokerUnavailable, ConfigInvalid, Unroutable
from shared.transport.base import DELIVERY_LIMIT, Consumer, DeadLetter, Durability, Outgoing, Route
from shared.transport.embedded.consumer import EmbeddedConsumer, Message, Queue
from shared.transport.embedded.journal import Buried, Journal, Kept
from shared.transport.futures import settle
from shared.transport.pending_reply import Asked
from shared.transport.topology import FLEETING_TTL_S, known_route

__all__ = ["EmbeddedTransport"]

_log = logging.getLogger(__name__)


class EmbeddedTransport:
    """See ``shared.transport.base.Transport``. ``journal_path=None``: nothing outlives the process.

    Raises:
        BrokerUnavailable: the journal cannot be opened (another process has it, no space, no right).
    """

    def __init__(self, journal_path: Path | None) -> None:
        self.lock = threading.RLock()
        self.queues: dict[str, Queue] = {}
        self._journal = Journal(journal_path)
        self._seq = self._journal.last_seq
        self._dead = {letter.seq: letter for letter in self._journal.dead}
        self._asked: set[Asked] = set()
        self._accepting: set[Future[None]] = set()
        self._listeners: list[tuple[frozenset[str], Callable[[str, bytes], None]]] = []
        self._broadcasts: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._broadcaster: threading.Thread | None = None
        self._closed = False
        for kept in self._journal.found:
            found = self.queues.get(kept.route)
            if found is None:
                found = self.queues[kept.route] = Queue(known_route(kept.route), time.monotonic(), assumed=True)
            message = Message(kept.seq, kept.message_id, kept.body, returns=kept.returns)
            if kept.returns > DELIVERY_LIMIT:
                self.bury(found.route, message, "by the broker: delivery limit")
            else:
                found.ready.append(message)

    def declare(self, routes: Sequence[Route]) -> None:
        with self.lock:
            if self._closed:
                raise BrokerUnavailable("the transport was closed")
            for route in routes:
                known = self._queue(route)
                if known.route != route:
                    raise ConfigInvalid(f"declared otherwise before: {known.route.name}")

    def waiting(self, route: Route) -> int:
        with self.lock:
            found = self.queues.get(route.name)
            return 0 if found is None else len(found.ready)

    def send(self, message: Outgoing) -> "Future[None]":
        return self._send(message, None)

    def request(self, message: Outgoing) -> Asked:
        asked = Asked(lambda: self._asked.discard(asked))
        self._asked.add(asked)
        accepted = self._send(message, asked)
        accepted.add_done_callback(lambda done: asked.settle(done.exception()))  # type: ignore[arg-type]
        return asked

    def consume(self, routes: Sequence[Route], *, prefetch: int, acks_wait_s: float = 0) -> Consumer:  # noqa: ARG002
        # The journal writes together what comes while it writes: nothing is won by waiting.
        consumer = EmbeddedConsumer(self, prefetch)
        for route in routes:
            consumer.add_route(route)
        return consumer

    def broadcast(self, topic: str, body: bytes) -> None:
        self._broadcasts.put((topic, body))

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        with self.lock:
            self._listeners = [*self._listeners, (frozenset(topics), callback)]
            if self._broadcaster is None and not self._closed:
                # Broadcasts from before anybody listened are lost, as on the broker.
                while not self._broadcasts.empty():
                    self._broadcasts.get()
                self._broadcaster = threading.Thread(target=self._call_listeners, name="broadcasts", daemon=True)
                self._broadcaster.start()

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        with self.lock:
            letters = list(self._dead.values())[: max(0, limit)]
        return [DeadLetter(letter.message_id, letter.route, letter.body, letter.reason) for letter in letters]

    def redrive(self, limit: int) -> int:
        sent = 0
        while sent < limit:
            with self.lock:
                letter = next(iter(self._dead.values()), None)
                if letter is None:
                    break
                del self._dead[letter.seq]
            route = Route(letter.route, Durability(letter.durability), letter.expires_s)
            try:
                self.send(Outgoing(route, letter.body, letter.message_id)).result()
            except (BrokerUnavailable, Unroutable):
                with self.lock:
                    self._dead = {letter.seq: letter, **self._dead}
                if sent:
                    break
                raise
            self._journal.unbury(letter.seq)
            sent += 1
        return sent

    @property
    def blocked(self) -> bool:
        """Never: there is no broker that could run out of anything."""
        return False

    @property
    def healthy(self) -> bool:
        return not self._closed

    def close(self) -> None:
        with self.lock:
            if self._closed:
                return
            self._closed = True
            consumers = {consumer for each in self.queues.values() for consumer in each.consumers}
            broadcaster = self._broadcaster
        for consumer in consumers:
            consumer.close()
        self._broadcasts.put(None)
        if broadcaster is not None and broadcaster is not threading.current_thread():
            broadcaster.join()
        self._journal.close()
        error = BrokerUnavailable("the transport was closed")
        for accepted in list(self._accepting):
            settle(accepted, error)
        for asked in list(self._asked):
            asked.fail(error)

    def acked(self, route: Route, message: Message) -> None:
        """Forget a message for good."""
        if route.durability is Durability.SAFE:
            self._journal.remove(message.seq)

    def give_back(self, source: Queue, message: Message) -> None:
        """Put a message back to the front, or aside once it came back too often; under the lock."""
        message.returns += 1
        if message.returns > DELIVERY_LIMIT and source.route.durability is Durability.SAFE:
            self.bury(source.route, message, "by the broker: delivery limit")
            return
        if source.route.durability is Durability.SAFE:
            self._journal.returned(message.seq, message.returns)
        source.ready.appendleft(message)
        source.wake()

    def bury(self, route: Route, message: Message, why: str) -> None:
        """Keep a message among the dead letters."""
        letter = Buried(
            message.seq, route.name, route.durability.value, route.expires_s, message.message_id, message.body, why
        )
        with self.lock:
            self._dead[letter.seq] = letter
        self._journal.bury(letter)

    def subscribe(self, consumer: EmbeddedConsumer, route: Route) -> Queue:
        """Declare ``route`` and let ``consumer`` be woken by it; under the lock."""
        self.declare([route])
        source = self.queues[route.name]
        if consumer not in source.consumers:
            source.consumers.append(consumer)
        return source

    def _queue(self, route: Route) -> Queue:
        now = time.monotonic()
        known = self.queues.get(route.name)
        if known is None or known.expired(now):
            known = self.queues[route.name] = Queue(route, now)
        known.used_at = now
        if known.assumed:
            known.route, known.assumed = route, False
        return known

    def _send(self, message: Outgoing, asked: Asked | None) -> "Future[None]":
        accepted: Future[None] = Future()
        route = message.route
        with self.lock:
            if self._closed:
                accepted.set_exception(BrokerUnavailable("the transport was closed"))
                return accepted
            target = self.queues.get(route.name)
            if target is None or target.expired(time.monotonic()):
                self.queues.pop(route.name, None)
                accepted.set_exception(Unroutable(f"no route {route.name}"))
                return accepted
            self._seq += 1
            copy = Message(self._seq, message.message_id, message.body, asked)
            if target.route.durability is not Durability.SAFE:
                if target.route.durability is Durability.FLEETING:
                    copy.dies_at = time.monotonic() + FLEETING_TTL_S
                target.ready.append(copy)
                target.wake()
            else:
                self._accepting.add(accepted)
        if target.route.durability is Durability.SAFE:
            accepted.add_done_callback(self._accepting.discard)
            kept = Kept(copy.seq, route.name, copy.message_id, copy.body, 0)
            self._journal.add(kept, lambda error: self._stored(target, copy, accepted, error))
        else:
            accepted.set_result(None)
        return accepted

    def _stored(self, target: Queue, message: Message, accepted: "Future[None]", error: BaseException | None) -> None:
        if error is not None:
            settle(accepted, BrokerUnavailable(f"journal: {error}"))
            return
        with self.lock:
            target.ready.append(message)
            target.wake()
        settle(accepted, None)

    def _call_listeners(self) -> None:
        while (heard := self._broadcasts.get()) is not None:
            for topics, callback in self._listeners:
                if heard[0] in topics:
                    try:
                        callback(*heard)
                    except Exception:  # noqa: BLE001 - logged
                        # The next broadcast must still be heard; what failed is the callback's own affair.
                        _log.exception("listener.callback_failed", extra={"topic": heard[0]})
