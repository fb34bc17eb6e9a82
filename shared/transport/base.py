"""The transport seam: what Dagway asks of a message broker, and what it promises in return.

Promised by every implementation (``tests/conformance/test_transport.py`` holds them to it):

* A send is **accepted** when its future completes: on a durable queue the message then survives the
  death of any one process, the broker's own restart included. It fails with ``Unroutable`` (nobody
  could ever receive it), ``BrokerUnavailable`` (nothing was accepted: away, or blocking publishers)
  or ``PublishUnconfirmed`` (nobody knows). A send never hangs and never buffers across a reconnect.
* Delivery is **at least once**. A message that was delivered before and came back (its consumer
  died, or gave it back) has ``redelivered`` set. On a SAFE queue it is dead after
  ``DELIVERY_LIMIT`` returns; RabbitMQ does not count returns on the other kinds. Where messages
  travelled together (``BrokerQueue.batched``) a consumer's death brings all of them back, those that were
  acknowledged too, and a prefetch counts them as one.
* **Dead letters** keep the message and the reason, and can be listed and sent again.
* No order is promised after a redelivery, no delays and no priorities are offered: those are rows.
* Consumers reconnect by themselves; a delivery of a former connection is settled silently.

Everything here may be called from any thread. Callbacks on futures run on the transport's own
thread: they must be short and never block.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.transport.pending_reply import PendingReply

__all__ = [
    "COMMANDS",
    "DELIVERY_LIMIT",
    "EVENTS",
    "HEARTBEATS",
    "LOGS",
    "BrokerQueue",
    "Consumer",
    "DeadLetter",
    "Delivery",
    "Durability",
    "Outgoing",
    "Transport",
    "task_queue",
    "worker_queue",
]

DELIVERY_LIMIT = 20
"""Returns before a message is a dead letter: a dropped connection counts as one, so keep it roomy."""


class Durability(StrEnum):
    """What a queue's messages must survive."""

    SAFE = "safe"
    """Replicated and synced before the confirm (RabbitMQ: quorum queue)."""
    REPRODUCIBLE = "remakable"
    """Can be made again from the database (RabbitMQ: durable classic queue)."""
    TRANSIENT = "fleeting"
    """May be lost; a fresh one follows soon (RabbitMQ: classic queue, transient messages, TTL)."""


@dataclass(frozen=True, slots=True)
class BrokerQueue:
    """Where messages of one kind queue up. The name is the broker's queue name too.

    ``expires_s``: the queue may go when nobody consumed from it for so long; ``None``: never.
    ``batched``: messages that are sent together may travel as one.
    """

    name: str
    durability: Durability
    expires_s: int | None = None
    batched: bool = False


COMMANDS = BrokerQueue("dagway.commands", Durability.SAFE, batched=True)
EVENTS = BrokerQueue("dagway.events", Durability.SAFE, batched=True)
LOGS = BrokerQueue("dagway.logs", Durability.SAFE)
HEARTBEATS = BrokerQueue("dagway.heartbeats", Durability.TRANSIENT)


def task_queue(selector: dict[str, str]) -> BrokerQueue:
    """Return the queue of tasks any worker with all these labels may take; ``{}``: any worker."""
    if not selector:
        return BrokerQueue("dagway.tasks.any", Durability.REPRODUCIBLE)
    text = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return BrokerQueue(f"dagway.tasks.{text}", Durability.REPRODUCIBLE)


def worker_queue(worker_id: str) -> BrokerQueue:
    """Return the queue of tasks for one worker only: runs stick to the worker that began them."""
    return BrokerQueue(f"dagway.worker.{worker_id}", Durability.REPRODUCIBLE, expires_s=1800)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send. ``reply_to`` comes from a delivery that asked for an answer."""

    queue: BrokerQueue
    body: bytes
    message_id: str


class Delivery(Protocol):
    """One message received. Settle it exactly once; a second time does nothing."""

    @property
    def body(self) -> bytes: ...
    @property
    def message_id(self) -> str: ...
    @property
    def redelivered(self) -> bool: ...
    @property
    def queue(self) -> BrokerQueue: ...

    def ack(self) -> None:
        """Done: never deliver it again."""

    def retry(self) -> None:
        """Give it back, to be delivered again with ``redelivered`` set."""

    def dead_letter(self, why: str) -> None:
        """Put it aside for a person, with the reason."""

    def reply(self, body: bytes) -> None:
        """Answer the asker, if there is one and it still listens; may be lost."""


class Consumer(Protocol):
    """A stream of deliveries from one or more queues, at most ``prefetch`` unsettled per queue."""

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        """Return up to ``limit`` deliveries, waiting at most ``timeout_s`` for the first."""

    def pause(self) -> None:
        """Stop deliveries; what was under way already is still returned by ``take``.

        With ``prefetch=1`` none arrives on a queue whose delivery is unsettled, even after that
        delivery is settled.
        """

    def resume(self) -> None:
        """Let deliveries come again: on a queue with unsettled deliveries, once those are settled."""

    def add_queue(self, queue: BrokerQueue) -> None:
        """Declare ``queue`` and consume from it too."""

    @property
    def connected_for_s(self) -> float:
        """How long it has been hearing without interruption; 0 while it hears nothing."""

    def close(self) -> None:
        """Stop; unsettled deliveries go back to their queues."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message put aside. ``id`` names it for ``redrive``."""

    id: str
    queue: str
    body: bytes
    reason: str


class Transport(Protocol):
    """One process's way to the broker."""

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        """Make sure the queues exist. Raises ``BrokerUnavailable``."""

    def waiting(self, queue: BrokerQueue) -> int:
        """Return how many messages wait on a queue that no consumer has in hand; none on one that is gone.

        Raises ``BrokerUnavailable``.
        """

    def send(self, message: Outgoing) -> "Future[None]":
        """Publish; see the module's promise on acceptance."""

    def request(self, message: Outgoing) -> PendingReply:
        """Publish and listen for one ``Delivery.reply``."""

    def consume(self, queues: Sequence[BrokerQueue], *, prefetch: int, acks_wait_s: float = 0) -> Consumer:
        """Open a consumer; it declares the queues and survives reconnects.

        ``acks_wait_s``: so long an acknowledgement may wait for others before the broker hears of it, which on a
        SAFE queue writes each to its disk. A crash meanwhile brings those deliveries back.
        """

    def broadcast(self, topic: str, body: bytes) -> None:
        """Tell every live listener of ``topic`` now; may be lost, never blocks, never raises."""

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        """Call ``callback(topic, body)`` for each broadcast, on one thread, until ``close``."""

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return some dead letters without removing them."""

    def redrive(self, limit: int) -> int:
        """Send dead letters back to their queues; return how many."""

    @property
    def blocked(self) -> bool:
        """Whether the broker is there but refuses to take messages, for want of memory or disk."""

    @property
    def healthy(self) -> bool:
        """Whether a send would be tried at all: connected, and publishers not blocked."""

    def close(self) -> None:
        """Release everything; pending futures fail with ``BrokerUnavailable`` or unconfirmed."""
