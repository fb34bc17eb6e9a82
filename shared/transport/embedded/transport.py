"""The transport inside one process: the same guarantees as with RabbitMQ, but without a broker.

``take`` removes messages directly from the queues. So no message is in transit to a consumer, and a pause takes effect
immediately. A message to a SAFE queue is on disk before its send is accepted, and is delivered again after a crash,
with ``redelivered`` set. A consumer may have it while it is still being written, and a log chunk that it acknowledges
at once is never written (ADR 47). Messages of other queues are in memory only.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from shared.errors import BrokerUnavailable, ConfigInvalid, DagwayError, PublishUnconfirmed, Unroutable
from shared.transport.base import (
    DEAD_LETTERS,
    DELIVERY_LIMIT,
    LOGS,
    NO_PRIORITIES,
    BrokerQueue,
    Consumer,
    DeadLetter,
    DeadLetterDecision,
    Durability,
    Outgoing,
    Tap,
)
from shared.transport.embedded.consumer import EmbeddedConsumer, MemoryQueue, QueuedMessage
from shared.transport.embedded.journal import Journal, StoredDeadLetter, StoredMessage
from shared.transport.embedded.tap import EmbeddedTap
from shared.transport.futures import settle
from shared.transport.pending_reply import PendingReply
from shared.transport.topology import TRANSIENT_TTL_S, known_queue

__all__ = ["EmbeddedTransport"]

_log = logging.getLogger(__name__)
_PATIENT = frozenset({LOGS.name})
"""The queues of whose messages the journal writes only those that nobody acknowledges soon.

A scheduler acknowledges a log chunk when the database has it, so what a step writes need not go to the journal too.
Only the end of the step waits for the confirm, and its report would wait for the database anyway.
"""


_Settle = Callable[[DagwayError | None], object]
"""Called when a message is accepted: with ``None``, or with the error. Only the first call has an effect."""


class EmbeddedTransport:
    """Implements ``shared.transport.base.Transport``. Without ``journal_path``, all messages are lost at exit.

    Raises:
        BrokerUnavailable: the journal cannot be opened: another process uses it, the disk is full, or no permission.
    """

    def __init__(self, journal_path: Path | None) -> None:
        self.lock = threading.RLock()
        self.queues: dict[str, MemoryQueue] = {}
        self._journal = Journal(journal_path)
        self._seq = self._journal.last_seq
        self._dead = {letter.seq: letter for letter in self._journal.dead}
        self._pending_replies: set[PendingReply] = set()
        self._accepting: set[_Settle] = set()
        self._listeners: list[tuple[frozenset[str], Callable[[str, bytes], None]]] = []
        self._taps: dict[str, list[EmbeddedTap]] = {}
        self._broadcasts: SimpleQueue[tuple[str, bytes] | None] = SimpleQueue()
        self._broadcaster: threading.Thread | None = None
        self._closed = False
        for kept in self._journal.found:
            found = self.queues.get(kept.queue)
            if found is None:
                found = self.queues[kept.queue] = MemoryQueue(known_queue(kept.queue), time.monotonic(), assumed=True)
            message = QueuedMessage(kept.seq, kept.message_id, kept.body, returns=kept.returns)
            if kept.returns > DELIVERY_LIMIT:
                self.add_dead_letter(found.queue, message, "by the broker: delivery limit")
            else:
                found.ready.add(message)

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        with self.lock:
            if self._closed:
                raise BrokerUnavailable("the transport was closed")
            for queue in queues:
                known = self._find_or_make(queue)
                if known.queue != queue:
                    raise ConfigInvalid(f"the broker queue {known.queue.name} exists with different arguments")

    def waiting(self, queue: BrokerQueue) -> int:
        with self.lock:
            if queue.name == DEAD_LETTERS.name:
                return len(self._dead)
            found = self.queues.get(queue.name)
            return 0 if found is None else len(found.ready)

    def send(self, message: Outgoing) -> "Future[None]":
        accepted: Future[None] = Future()
        self._send(message, partial(settle, accepted), None)
        return accepted

    def request(self, message: Outgoing) -> PendingReply:
        pending = PendingReply(lambda: self._pending_replies.discard(pending))
        self._pending_replies.add(pending)
        self._send(message, pending.settle, pending)
        return pending

    def consume(
        self,
        queues: Sequence[BrokerQueue],
        *,
        prefetch: int,
        acks_wait_s: float = 0,  # noqa: ARG002
        priorities: Mapping[str, int] = NO_PRIORITIES,  # noqa: ARG002
    ) -> Consumer:
        # ``acks_wait_s`` is not needed: the journal writes all acknowledgements that arrive during a commit together.
        consumer = EmbeddedConsumer(self, prefetch)
        for queue in queues:
            consumer.add_queue(queue)
        return consumer

    def broadcast(self, topic: str, body: bytes) -> None:
        self._broadcasts.put((topic, body))

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        with self.lock:
            self._listeners = [*self._listeners, (frozenset(topics), callback)]
            if self._broadcaster is None and not self._closed:
                # Broadcasts from before the first listener are lost, as on the broker.
                while not self._broadcasts.empty():
                    self._broadcasts.get()
                self._broadcaster = threading.Thread(target=self._call_listeners, name="broadcasts", daemon=True)
                self._broadcaster.start()

    def tap(self, queue: BrokerQueue, name: str, callback: Callable[[bytes], None]) -> Tap:
        tap = EmbeddedTap(name, callback)
        with self.lock:
            for address in (queue.name, name):
                self._taps.setdefault(address, []).append(tap)
        return tap

    def exists(self, name: str) -> bool:
        with self.lock:
            if self._closed:
                raise BrokerUnavailable("the transport was closed")
            found = self.queues.get(name)
            tapped = any(tap.name == name for taps in self._taps.values() for tap in taps)
            return tapped or (found is not None and not found.expired(time.monotonic()))

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        with self.lock:
            letters = list(self._dead.values())[: max(0, limit)]
        return [DeadLetter(letter.message_id, letter.queue, letter.body, letter.reason) for letter in letters]

    def settle_dead_letters(self, decide: Callable[[DeadLetter], DeadLetterDecision], limit: int) -> frozenset[str]:
        with self.lock:
            found = list(self._dead.values())[: max(0, limit)]
        stuck: set[str] = set()
        for letter in found:
            shown = DeadLetter(letter.message_id, letter.queue, letter.body, letter.reason)
            decision = decide(shown)
            if decision is DeadLetterDecision.KEEP:
                continue
            with self.lock:
                if self._dead.pop(letter.seq, None) is None:
                    continue
            if decision is DeadLetterDecision.RETURN:
                queue = BrokerQueue(letter.queue, Durability(letter.durability), letter.expires_s)
                try:
                    self.send(Outgoing(queue, letter.body, letter.message_id)).result()
                except DagwayError as error:
                    with self.lock:
                        self._dead = dict(sorted({**self._dead, letter.seq: letter}.items()))
                    if not isinstance(error, Unroutable):
                        raise
                    stuck.add(shown.fingerprint)
                    continue
            self._journal.remove_dead_letter(letter.seq)
        return frozenset(stuck)

    @property
    def blocked(self) -> bool:
        """Return False: there is no broker that could run out of memory or disk space."""
        return False

    @property
    def one_program(self) -> bool:
        return True

    @property
    def healthy(self) -> bool:
        return not self._closed

    @property
    def forbidden(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        with self.lock:
            if self._closed:
                return
            self._closed = True
            consumers = {consumer for each in self.queues.values() for consumer in each.consumers}
            broadcaster = self._broadcaster
            taps = {tap for each in self._taps.values() for tap in each}
        for consumer in consumers:
            consumer.close()
        for tap in taps:
            tap.close()
        self._broadcasts.put(None)
        if broadcaster is not None and broadcaster is not threading.current_thread():
            broadcaster.join()
        self._journal.close()
        error = BrokerUnavailable("the transport was closed")
        for accepted in list(self._accepting):
            accepted(error)
        for pending in list(self._pending_replies):
            pending.fail(error)

    def acked(self, queue: BrokerQueue, message: QueuedMessage) -> None:
        """Delete an acknowledged message from the journal."""
        if queue.durability is Durability.SAFE:
            self._journal.remove(message.seq)

    def give_back(self, source: MemoryQueue, message: QueuedMessage) -> None:
        """Put a message back at the front of its queue, or make it a dead letter after too many returns.

        Hold the lock to call it.
        """
        message.returns += 1
        if message.returns > DELIVERY_LIMIT and source.queue.durability is Durability.SAFE:
            self.add_dead_letter(source.queue, message, "by the broker: delivery limit")
            return
        if source.queue.durability is Durability.SAFE:
            self._journal.returned(message.seq, message.returns)
        source.ready.put_back(message)
        source.wake()

    def add_dead_letter(self, queue: BrokerQueue, message: QueuedMessage, why: str) -> None:
        """Make a message a dead letter."""
        letter = StoredDeadLetter(
            message.seq, queue.name, queue.durability.value, queue.expires_s, message.message_id, message.body, why
        )
        with self.lock:
            self._dead[letter.seq] = letter
        self._journal.add_dead_letter(letter)

    def subscribe(self, consumer: EmbeddedConsumer, queue: BrokerQueue) -> MemoryQueue:
        """Declare ``queue``, and wake ``consumer`` for each of its messages from now on. Hold the lock to call it."""
        self.declare([queue])
        source = self.queues[queue.name]
        if consumer not in source.consumers:
            source.consumers.append(consumer)
        return source

    def _find_or_make(self, queue: BrokerQueue) -> MemoryQueue:
        now = time.monotonic()
        known = self.queues.get(queue.name)
        if known is None or known.expired(now):
            known = self.queues[queue.name] = MemoryQueue(queue, now)
        known.used_at = now
        if known.assumed:
            known.queue, known.assumed = queue, False
        return known

    def _send(self, message: Outgoing, accepted: _Settle, pending: PendingReply | None) -> None:
        queue = message.queue
        with self.lock:
            if self._closed:
                accepted(BrokerUnavailable("the transport was closed"))
                return
            target = self.queues.get(queue.name)
            taps = self._taps.get(queue.name, ())
            for tap in taps:
                tap.put(message.body)
            if target is None or target.expired(time.monotonic()):
                self.queues.pop(queue.name, None)
                accepted(None if taps else Unroutable(f"there is no broker queue {queue.name}"))
                return
            self._seq += 1
            returns, urgent = int(message.again), message.urgent
            copy = QueuedMessage(self._seq, message.message_id, message.body, pending, returns, urgent=urgent)
            safe = target.queue.durability is Durability.SAFE
            if safe:
                self._accepting.add(accepted)
                kept = StoredMessage(copy.seq, queue.name, copy.message_id, copy.body, copy.returns)
                # Before a consumer can have the message: the journal must not hear of its acknowledgement first.
                patient = target.queue.name in _PATIENT
                self._journal.add(kept, lambda error: self._stored(target, copy, accepted, error), patient=patient)
            elif target.queue.durability is Durability.TRANSIENT:
                copy.dies_at = time.monotonic() + TRANSIENT_TTL_S
            target.ready.add(copy)
            target.wake()
        if not safe:
            accepted(None)

    def _stored(
        self, target: MemoryQueue, message: QueuedMessage, accepted: _Settle, error: BaseException | None
    ) -> None:
        self._accepting.discard(accepted)
        if error is None:
            accepted(None)
            return
        with self.lock:
            unseen = target.ready.remove(message) and not message.delivered
        why = f"the journal cannot be written: {error}"
        accepted(BrokerUnavailable(why) if unseen else PublishUnconfirmed(why))

    def _call_listeners(self) -> None:
        while (received := self._broadcasts.get()) is not None:
            for topics, callback in self._listeners:
                if received[0] in topics:
                    try:
                        callback(*received)
                    except Exception:  # noqa: BLE001 - logged
                        # A failed callback must not stop the next broadcast.
                        _log.exception("listener.callback_failed", extra={"topic": received[0]})
