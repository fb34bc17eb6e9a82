"""A transport that signs what it sends and verifies what it receives, on top of any other transport.

A message is signed when it is handed to the broker. Rows of the outbox and reports in a worker's spool are therefore
unsigned, and no key must be kept for them when keys are replaced. A message is verified when its body is read:
``Delivery.body`` then raises ``SignatureRefused``, which its reader handles like any message that it cannot decode.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from shared.clock import utc_now
from shared.contracts.base import Message
from shared.contracts.codec import decode, type_of
from shared.contracts.events import Event, Heartbeat
from shared.contracts.markers import Marker
from shared.contracts.signing import Keyring, Proof, Purpose, SignatureScope, says_it_is
from shared.contracts.worker_pools import pool_of_key, pool_of_worker
from shared.errors import DecodeFailed, InvariantBroken, Refusal, SignatureRefused
from shared.transport.base import (
    COMMANDS,
    NO_PRIORITIES,
    BrokerQueue,
    Consumer,
    DeadLetter,
    DeadLetterDecision,
    Delivery,
    Outgoing,
    Tap,
    Transport,
)
from shared.transport.heartbeat_order import HeartbeatOrder
from shared.transport.pending_reply import PendingReply
from shared.transport.refusals import SignatureCounts
from shared.transport.signature_scopes import KINDS, kind_of, queue_scope, topic_scope

__all__ = ["SignedTransport", "check_reporter"]

_MARKED = frozenset({Purpose.REPORT, Purpose.HEARTBEAT})
"""Among these messages, schedulers send markers."""


def check_reporter(delivery: Delivery, message: Message) -> None:
    """Check that the worker named in a report may have signed it. Does nothing if the message is not signed.

    Raises:
        SignatureRefused: the key belongs to another pool than the worker, or to a sender of other messages, or the
            heartbeat was heard before.
    """
    if isinstance(delivery, _SignedDelivery):
        delivery.check_reporter(message)


class SignedTransport:
    """Implements ``shared.transport.base.Transport``; ``close`` also closes ``inner``.

    With ``accept_unsigned``, messages without a signature are accepted and counted; a wrong signature is still refused.
    To send a message for whose purpose the keyring has no key raises ``InvariantBroken``: its reader would refuse it.
    """

    def __init__(
        self,
        inner: Transport,
        keyring: Keyring,
        *,
        accept_unsigned: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._inner = inner
        self._keyring = keyring
        self._accept_unsigned = accept_unsigned
        self._clock = clock
        self.counts = SignatureCounts(kind for purpose in keyring.verifiers for kind in KINDS[purpose])
        self.heartbeats = HeartbeatOrder()
        self.pools = frozenset(pool_of_key(key) for key in keyring.verifiers.get(Purpose.REPORT, {}))

    # -- signing --------------------------------------------------------------------------------

    def sign(self, scope: SignatureScope, body: bytes) -> bytes:
        """Return ``body`` with a signature. Raises ``InvariantBroken`` if this process has no key for the purpose."""
        if not self._keyring.signs(scope.purpose):
            raise InvariantBroken(
                f"this service has no key that signs a {scope.purpose}, and must not send it unsigned"
            )
        at = self.heartbeats.next(self._clock()) if scope.purpose is Purpose.HEARTBEAT else self._clock()
        return self._keyring.sign(scope, body, at)

    def send(self, message: Outgoing) -> "Future[None]":
        return self._inner.send(self._signed(message))

    def request(self, message: Outgoing) -> PendingReply:
        pending = self._inner.request(self._signed(message))
        if message.queue == COMMANDS:
            scope = SignatureScope(Purpose.REPLY, message.message_id)
            pending.verify = lambda reply: self.verify(scope, reply, "replies", message.message_id)
        return pending

    def broadcast(self, topic: str, body: bytes) -> None:
        self._inner.broadcast(topic, self.sign(topic_scope(topic), body))

    def _signed(self, message: Outgoing) -> Outgoing:
        scope = queue_scope(message.queue, message.message_id)
        if scope.purpose in _MARKED and self._keyring.signs(Purpose.MARKER) and type_of(message.body) == Marker.type:
            scope = replace(scope, purpose=Purpose.MARKER)
        return replace(message, body=self.sign(scope, message.body))

    # -- verifying ------------------------------------------------------------------------------

    def verify(
        self, scope: SignatureScope, body: bytes, queue: str, message_id: str, *, count: bool = True
    ) -> Proof | None:
        """Return who signed a message; ``None`` if it is unsigned and that is accepted.

        Counts and logs a refusal, unless ``count`` is false. ``queue`` names the kind of queue in metrics and logs.
        Raises ``SignatureRefused``.
        """
        if scope.purpose in _MARKED and says_it_is(Purpose.MARKER, body):
            scope = replace(scope, purpose=Purpose.MARKER)
        try:
            return self._keyring.verify(scope, body, self._clock())
        except SignatureRefused as error:
            if error.why is Refusal.UNSIGNED and self._accept_unsigned:
                if count:
                    self.counts.unsigned(queue)
                return None
            if count:
                self.counts.refused(queue, message_id, error)
            raise

    def consume(
        self,
        queues: Sequence[BrokerQueue],
        *,
        prefetch: int,
        acks_wait_s: float = 0,
        priorities: Mapping[str, int] = NO_PRIORITIES,
    ) -> Consumer:
        inner = self._inner.consume(queues, prefetch=prefetch, acks_wait_s=acks_wait_s, priorities=priorities)
        return _SignedConsumer(self, inner)

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        def verified(topic: str, body: bytes) -> None:
            try:
                self.verify(topic_scope(topic), body, "control", topic)
            except SignatureRefused:
                return
            callback(topic, body)

        self._inner.listen(topics, verified)

    def tap(self, queue: BrokerQueue, name: str, callback: Callable[[bytes], None]) -> Tap:
        kind, scope = kind_of(queue), queue_scope(queue, "")

        def verified(body: bytes) -> None:
            with suppress(SignatureRefused):
                # Not counted: every scheduler has a tap, but only one receives the message from the queue itself.
                proof = self.verify(scope, body, kind, name, count=False)
                if proof is not None:
                    self._check_tapped(proof, body, kind)
                callback(body)

        return self._inner.tap(queue, name, verified)

    def _check_tapped(self, proof: Proof, body: bytes, kind: str) -> None:
        try:
            message = decode(body).body
        except DecodeFailed:
            return  # the reader finds the same
        try:
            self.check_reporter(proof, message, remember=True)
        except SignatureRefused as error:
            if error.why is Refusal.REPLAYED:
                self.counts.refused(kind, "", error)
            raise

    def check_reporter(self, proof: Proof, message: Message, *, remember: bool) -> None:
        """Check that the signer may have sent ``message``; see the function of this name. Counts nothing."""
        if (proof.purpose is Purpose.MARKER) != isinstance(message, Marker):
            raise SignatureRefused(
                Refusal.WRONG_PURPOSE, f"signed as {proof.purpose}, but a message of type {message.type}"
            )
        if not isinstance(message, Event | Heartbeat):
            return
        signer, pool = pool_of_key(proof.key_id), pool_of_worker(message.worker_id, self.pools)
        if signer != pool:
            raise SignatureRefused(
                Refusal.FOREIGN_WORKER,
                f"worker {message.worker_id!r} of pool {pool!r} must not sign with the key of pool {signer!r}",
            )
        if isinstance(message, Heartbeat):
            sender = (message.worker_id, message.incarnation)
            if not self.heartbeats.hear(sender, proof.at, remember=remember):
                raise SignatureRefused(Refusal.REPLAYED, f"a heartbeat of {message.worker_id!r} that was heard before")

    # -- the rest -------------------------------------------------------------------------------

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        self._inner.declare(queues)

    def waiting(self, queue: BrokerQueue) -> int:
        return self._inner.waiting(queue)

    def exists(self, name: str) -> bool:
        return self._inner.exists(name)

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        return self._inner.dead_letters(limit)

    def settle_dead_letters(self, decide: Callable[[DeadLetter], DeadLetterDecision], limit: int) -> frozenset[str]:
        return self._inner.settle_dead_letters(decide, limit)

    @property
    def blocked(self) -> bool:
        return self._inner.blocked

    @property
    def one_program(self) -> bool:
        return False  # a signature is a field of the JSON

    @property
    def healthy(self) -> bool:
        return self._inner.healthy

    @property
    def forbidden(self) -> tuple[str, ...]:
        return self._inner.forbidden

    def close(self) -> None:
        self._inner.close()


class _SignedConsumer:
    def __init__(self, transport: SignedTransport, inner: Consumer) -> None:
        self._transport = transport
        self._inner = inner

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        return [_SignedDelivery(self._transport, delivery) for delivery in self._inner.take(limit, timeout_s)]

    def interrupt(self) -> None:
        self._inner.interrupt()

    def pause(self) -> None:
        self._inner.pause()

    def wind_down(self) -> None:
        self._inner.wind_down()

    def resume(self) -> None:
        self._inner.resume()

    def add_queue(self, queue: BrokerQueue) -> None:
        self._inner.add_queue(queue)

    @property
    def connected_for_s(self) -> float:
        return self._inner.connected_for_s

    def close(self) -> None:
        self._inner.close()


class _SignedDelivery:
    __slots__ = ("_inner", "_proof", "_transport", "_verified")

    def __init__(self, transport: SignedTransport, inner: Delivery) -> None:
        self._transport = transport
        self._inner = inner
        self._verified = False
        self._proof: Proof | None = None

    @property
    def body(self) -> bytes:
        """The body, with its signature. Raises ``SignatureRefused``."""
        body = self._inner.body
        if not self._verified:
            scope = queue_scope(self.queue, self.message_id)
            self._proof = self._transport.verify(scope, body, kind_of(self.queue), self.message_id)
            self._verified = True
        return body

    def check_reporter(self, message: Message) -> None:
        if self._proof is None:
            return
        try:
            # A heartbeat arrives on the tap too, which remembers it: here, most were heard before.
            self._transport.check_reporter(self._proof, message, remember=False)
        except SignatureRefused as error:
            if error.why is not Refusal.REPLAYED:
                self._transport.counts.refused(kind_of(self.queue), self.message_id, error)
            raise

    @property
    def message_id(self) -> str:
        return self._inner.message_id

    @property
    def redelivered(self) -> bool:
        return self._inner.redelivered

    @property
    def queue(self) -> BrokerQueue:
        return self._inner.queue

    @property
    def held(self) -> bool:
        return self._inner.held

    @property
    def arrived_s(self) -> float:
        return self._inner.arrived_s

    def ack(self) -> None:
        self._inner.ack()

    def retry(self) -> None:
        self._inner.retry()

    def dead_letter(self, why: str) -> None:
        self._inner.dead_letter(why)

    def reply(self, body: bytes) -> None:
        # The reply to a marker is empty: only a scheduler can send to where it is awaited.
        self._inner.reply(self._transport.sign(SignatureScope(Purpose.REPLY, self.message_id), body) if body else body)
