"""The interface to a message broker, and what every implementation guarantees.

Guarantees (``tests/conformance/test_transport.py`` tests each implementation for them):

* A send is **accepted** when its future completes: on a SAFE queue the message then survives the death of any one
  process, and a restart of the broker. It fails with ``Unroutable`` (the queue does not exist), ``BrokerUnavailable``
  (nothing was accepted: the broker is away, or blocks publishers) or ``PublishUnconfirmed`` (it may or may not have
  been accepted). A send never hangs and is never kept across a reconnect.
* Delivery is **at least once**. A message that was delivered before and came back (its consumer died, or gave it
  back) has ``redelivered`` set. On a SAFE queue it becomes a dead letter after ``DELIVERY_LIMIT`` returns; RabbitMQ
  does not count returns on other queues. If messages travelled in a batch (``BrokerQueue.batched``), the death of
  their consumer brings back all of them, also those that were acknowledged, and a prefetch counts them as one.
* **Dead letters** keep the message and the reason, and can be listed and sent again.
* There is no order after a redelivery. There are no delays and no priorities: the store has those.
* Consumers reconnect by themselves; settling a delivery of a former connection does nothing.

Everything here may be called from any thread. Callbacks on futures run on the transport's own
thread: they must be short and must not block.
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
"""Returns before a message becomes a dead letter. A dropped connection counts as one, so it is not small."""


class Durability(StrEnum):
    """What the messages of a broker queue must survive."""

    SAFE = "safe"
    """Replicated and synced before the confirm (RabbitMQ: quorum queue)."""
    REPRODUCIBLE = "remakable"
    """Can be sent again from the database (RabbitMQ: durable classic queue)."""
    TRANSIENT = "fleeting"
    """May be lost; another follows soon (RabbitMQ: classic queue, transient messages, TTL)."""


@dataclass(frozen=True, slots=True)
class BrokerQueue:
    """A queue of the broker, for messages of one kind.

    ``expires_s``: the queue is deleted after so long without a consumer; ``None``: never.
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
    """Return the queue of tasks for workers with all these labels; ``{}``: for any worker."""
    if not selector:
        return BrokerQueue("dagway.tasks.any", Durability.REPRODUCIBLE)
    text = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return BrokerQueue(f"dagway.tasks.{text}", Durability.REPRODUCIBLE)


def worker_queue(worker_id: str) -> BrokerQueue:
    """Return the queue of tasks for one worker: a run stays on the worker that began it."""
    return BrokerQueue(f"dagway.worker.{worker_id}", Durability.REPRODUCIBLE, expires_s=1800)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send."""

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
        """Keep it as a dead letter, with the reason."""

    def reply(self, body: bytes) -> None:
        """Reply to the sender, if it awaits a reply; may be lost."""


class Consumer(Protocol):
    """A stream of deliveries from one or more queues, at most ``prefetch`` unsettled per queue."""

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        """Return up to ``limit`` deliveries, waiting at most ``timeout_s`` for the first."""

    def pause(self) -> None:
        """Stop deliveries; messages under way already are still returned by ``take``.

        With ``prefetch=1`` none arrives on a queue whose delivery is unsettled, even after that
        delivery is settled.
        """

    def resume(self) -> None:
        """Allow deliveries again; on a queue with unsettled deliveries, after those are settled."""

    def add_queue(self, queue: BrokerQueue) -> None:
        """Declare ``queue`` and consume from it too."""

    @property
    def connected_for_s(self) -> float:
        """How long it has been connected without interruption; 0 while it is not."""

    def close(self) -> None:
        """Stop; unsettled deliveries go back to their queues."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be handled. ``queue`` is where it came from."""

    id: str
    queue: str
    body: bytes
    reason: str


class Transport(Protocol):
    """The connection of one process to the broker."""

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        """Create the queues that do not exist. Raises ``BrokerUnavailable``."""

    def waiting(self, queue: BrokerQueue) -> int:
        """Return how many messages of a queue are with no consumer; 0 if the queue does not exist.

        Raises ``BrokerUnavailable``.
        """

    def send(self, message: Outgoing) -> "Future[None]":
        """Publish; see the module on when a send is accepted."""

    def request(self, message: Outgoing) -> PendingReply:
        """Publish, and await one ``Delivery.reply``."""

    def consume(self, queues: Sequence[BrokerQueue], *, prefetch: int, acks_wait_s: float = 0) -> Consumer:
        """Open a consumer; it declares the queues and survives reconnects.

        ``acks_wait_s``: how long an acknowledgement may wait for others, since on a SAFE queue the broker writes each
        to its disk. A crash meanwhile brings those deliveries back.
        """

    def broadcast(self, topic: str, body: bytes) -> None:
        """Send to every current listener of ``topic``; may be lost, never blocks, never raises."""

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        """Call ``callback(topic, body)`` for each broadcast, on one thread, until ``close``."""

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return some dead letters without removing them."""

    def redrive(self, limit: int) -> int:
        """Send dead letters to their queues again; return how many."""

    @property
    def blocked(self) -> bool:
        """Whether the broker is connected but accepts no messages: it lacks memory or disk space."""

    @property
    def healthy(self) -> bool:
        """Whether a send would be tried: connected, and publishers not blocked."""

    def close(self) -> None:
        """Release everything; pending sends fail with ``BrokerUnavailable`` or ``PublishUnconfirmed``."""
