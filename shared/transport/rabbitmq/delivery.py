"""A message received from RabbitMQ, and how it is settled.

For the broker a batch is one delivery, so one message of a batch cannot be rejected. If it must be delivered again or
become a dead letter, a copy of it is published, and then it is acknowledged. The broker's own dead letters do not say
why; so copies of SAFE and TRANSIENT messages, which schedulers receive, are published with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from shared.transport.base import BrokerQueue, Durability
from shared.transport.rabbitmq.batches import BatchItem
from shared.transport.rabbitmq.connection import Connection
from shared.transport.topology import HEADER_AGAIN

__all__ = ["Origin", "RabbitDelivery", "Settle", "Settlement", "Stored"]

_RETRY_S = 1.0

Settle = Literal["ack", "retry", "reject"]
Stored = Callable[[bool], None]
"""Callback with one argument: whether the broker has stored the copy of a delivery."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """Functions of the transport that deliveries need to be settled."""

    reply: Callable[[str, str, bytes], None]
    """Sends a reply."""
    dead_letter: Callable[["RabbitDelivery", str, Stored], None]
    """Publishes a copy of a delivery as a dead letter, with a reason."""
    send_again: Callable[["RabbitDelivery", Stored], None]
    """Publishes a copy to the delivery's own broker queue."""


class Subscription(Protocol):
    """What a delivery needs from its subscription, which is one broker queue of one consumer."""

    queue: BrokerQueue
    connection: Connection
    settlement: Settlement

    def settle(self, channel: Any, tag: int, how: Settle) -> None:
        """Settle a message that ``channel`` delivered with ``tag``."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The subscription, channel, delivery tag and time of a delivery. ``alone``: it has no other messages."""

    subscription: Subscription
    channel: Any
    tag: int
    alone: bool
    arrived_s: float

    def settle(self, how: Settle) -> None:
        self.subscription.settle(self.channel, self.tag, how)


class RabbitDelivery:
    """One message. To settle it after its connection is lost does nothing."""

    __slots__ = ("_open", "_origin", "body", "message_id", "redelivered", "reply_address")

    def __init__(self, origin: Origin, method: Any, properties: Any, part: BatchItem) -> None:
        self._origin = origin
        self._open = [True]
        self.reply_address = (properties.reply_to or "" if part.correlation_id else "", part.correlation_id)
        """The reply address, empty if no reply is awaited, and the correlation id."""
        self.body = part.body
        self.message_id = part.message_id
        self.redelivered: bool = method.redelivered or HEADER_AGAIN in (properties.headers or {})

    @property
    def queue(self) -> BrokerQueue:
        return self._origin.subscription.queue

    @property
    def arrived_s(self) -> float:
        return self._origin.arrived_s

    @property
    def held(self) -> bool:
        return bool(self._open) and bool(self._origin.channel.is_open)

    def ack(self) -> None:
        if self._first():
            self._origin.settle("ack")

    def retry(self) -> None:
        if not self._first():
            return
        if self._origin.alone:
            self._origin.settle("retry")
        else:
            # A reject would return the whole batch, and count as a return of each of its messages.
            self._replace(self._origin.subscription.settlement.send_again)

    def dead_letter(self, why: str) -> None:
        if not self._first():
            return
        if self.queue.durability is Durability.REPRODUCIBLE:
            self._origin.settle("reject")
        else:
            self._replace(
                lambda delivery, stored: self._origin.subscription.settlement.dead_letter(delivery, why, stored)
            )

    def reply(self, body: bytes) -> None:
        reply_to, correlation_id = self.reply_address
        if reply_to:
            self._origin.subscription.settlement.reply(reply_to, correlation_id, body)

    def of(self, channel: Any) -> bool:
        """Return whether ``channel`` delivered the message."""
        return self._origin.channel is channel

    def _first(self) -> bool:
        try:
            return self._open.pop()  # atomic: one caller wins
        except IndexError:
            return False

    def _replace(self, publish: Callable[["RabbitDelivery", Stored], None]) -> None:
        """Publish a copy with ``publish``, and acknowledge the message when the broker has stored the copy."""

        def stored(well: bool) -> None:
            if well:
                self._origin.settle("ack")
            elif self._origin.channel.is_open:
                # The message stays unsettled until its copy is stored.
                connection = self._origin.subscription.connection
                connection.call(lambda: connection.later(_RETRY_S, lambda: self._replace(publish)))

        publish(self, stored)
