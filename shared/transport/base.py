"""The interface to a message broker, and what every implementation guarantees.

Guarantees (``tests/conformance/test_transport.py`` tests each implementation for them):

* A message is **accepted** when the future of its send completes. A message accepted by a SAFE queue survives the
  death of any one process and a restart of the broker. A send fails with ``Unroutable`` (the broker queue does not
  exist), ``BrokerUnavailable`` (not accepted: the broker cannot be reached or blocks publishers), ``MessageTooLarge``
  (RabbitMQ would not take it, so it was not sent) or ``PublishUnconfirmed`` (it may or may not have been accepted). A
  send never hangs. A message that was not sent before the connection was lost is not sent after a reconnect.
* Delivery is **at least once**. If a consumer dies or gives a message back, the message is delivered again, with
  ``redelivered`` set. On a SAFE queue a message becomes a dead letter after ``DELIVERY_LIMIT`` returns; on other queues
  it may return any number of times. Messages may travel in a batch (``BrokerQueue.batched``). If their consumer dies,
  all messages of the batch are delivered again, even acknowledged ones. A batch counts as one message of a prefetch.
* **Dead letters** keep the message and the reason, and can be listed and returned.
* After a redelivery the order of messages is not defined. There are no delays: the store has them.
* **Urgent messages overtake** the others that wait in a broker queue, but do not starve them: while both wait, two
  urgent ones are delivered, then one other. RabbitMQ before 4.0 delivers all in their order.
* Consumers reconnect by themselves. To settle a delivery of an earlier connection does nothing.

All methods may be called from any thread. Callbacks on futures run on the transport's own thread, so they must be short
and must not block.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from shared.admission.workers import WORKER_POOL, worker_pool
from shared.transport.pending_reply import PendingReply

__all__ = [
    "AUDIT",
    "BROKER_TAKES_BYTES",
    "COMMANDS",
    "DEAD_LETTERS",
    "DELIVERY_LIMIT",
    "EVENTS",
    "EVENT_SHARDS",
    "HEARD",
    "HEARTBEATS",
    "LOGS",
    "MAX_MESSAGE_BYTES",
    "MOST_NAME_BYTES",
    "NO_PRIORITIES",
    "BrokerQueue",
    "Consumer",
    "DeadLetter",
    "DeadLetterDecision",
    "Delivery",
    "Durability",
    "Exchange",
    "Outgoing",
    "Tap",
    "Transport",
    "WorkerTransport",
    "event_queue",
    "tap_address",
    "task_queue",
    "worker_queue",
]

NO_PRIORITIES: Mapping[str, int] = MappingProxyType({})
BROKER_TAKES_BYTES = 16 << 20
"""The largest message that RabbitMQ 4 accepts by default. It closes the connection that sends a larger one."""
MAX_MESSAGE_BYTES = 15 << 20
"""The largest body of a message; the rest is for a signature and a batch's own bytes."""
MOST_NAME_BYTES = 255
"""AMQP's limit for the name of a queue. RabbitMQ's client loses its connection over a longer one."""
DELIVERY_LIMIT = 20
"""How often a message may return before it becomes a dead letter. Lost connections count too, so it is not small."""


class Durability(StrEnum):
    """What the messages of a broker queue must survive."""

    SAFE = "safe"
    """Messages are replicated and synced to disk before the confirm (RabbitMQ: quorum queue)."""
    REPRODUCIBLE = "remakable"
    """Messages can be sent again from the database, so they may return any number of times (RabbitMQ: quorum queue).

    Replicated all the same, because a classic queue cannot be used while its only node is down.
    """
    TRANSIENT = "fleeting"
    """Messages may be lost, because the next follows soon (RabbitMQ: classic queue, transient messages, TTL).

    If the queue's node is lost, schedulers make the queue anew on another node.
    """


class Exchange(StrEnum):
    """The exchange that messages for a broker queue are sent through. The broker's rights to send are per exchange."""

    DEFAULT = ""
    """Who may send through it reaches every broker queue."""
    REPORTS = "dagway.reports"
    """Reaches only the broker queues of what workers report."""
    REQUESTS = "dagway.requests"
    """Reaches only the broker queues of what gateways send."""


@dataclass(frozen=True, slots=True)
class BrokerQueue:
    """A queue of the broker, for messages of one kind.

    ``expires_s``: the broker deletes the queue after this time without a consumer; ``None`` means never.
    ``batched``: messages that are sent at the same time may travel as one AMQP message.
    ``exchange``: messages are sent through it with ``name`` as the routing key. The declaration of the queue binds it.
    """

    name: str
    durability: Durability
    expires_s: int | None = None
    batched: bool = False
    exchange: Exchange = Exchange.DEFAULT


COMMANDS = BrokerQueue("dagway.commands", Durability.SAFE, batched=True, exchange=Exchange.REQUESTS)
EVENTS = BrokerQueue("dagway.events", Durability.SAFE, batched=True, exchange=Exchange.REPORTS)
EVENT_SHARDS = tuple(
    BrokerQueue(f"{EVENTS.name}.{number}", Durability.SAFE, batched=True, exchange=Exchange.REPORTS)
    for number in range(8)
)
"""The queues over which the events of runs are spread, so that all events of a run reach the same scheduler."""
LOGS = BrokerQueue("dagway.logs", Durability.SAFE, exchange=Exchange.REPORTS)
AUDIT = BrokerQueue("dagway.audit", Durability.SAFE, batched=True, exchange=Exchange.REQUESTS)
HEARTBEATS = BrokerQueue("dagway.heartbeats", Durability.TRANSIENT, exchange=Exchange.REPORTS)
HEARD = "dagway.heard."
"""How the names of the taps of ``HEARTBEATS`` begin."""
DEAD_LETTERS = BrokerQueue("dagway.dead", Durability.SAFE)
"""Where dead letters are. It can be counted with ``Transport.waiting``; a batch that died counts as one."""


def event_queue(name: str) -> BrokerQueue:
    """Return the queue for events with this name: one of ``EVENT_SHARDS``, or ``EVENTS`` if no shard is called so."""
    return next((shard for shard in EVENT_SHARDS if shard.name == name), EVENTS)


def task_queue(selector: Mapping[str, str]) -> BrokerQueue:
    """Return the broker queue of the tasks with this worker selector; ``{}`` is for any worker of the default pool.

    The names of a worker pool's queues have a common beginning, ``dagway.tasks.POOL.``, for the rights of its login.
    Labels that are too long for a name are there as their hash.
    """
    labels = ",".join(f"{key}={value}" for key, value in sorted(selector.items()) if key != WORKER_POOL) or "any"
    pool = f"dagway.tasks.{worker_pool(selector)}."
    if len(f"{pool}{labels}".encode()) > MOST_NAME_BYTES:
        labels = f"sha256:{hashlib.sha256(labels.encode()).hexdigest()}"
    return BrokerQueue(f"{pool}{labels}", Durability.REPRODUCIBLE)


def tap_address(queue: BrokerQueue, name: str) -> BrokerQueue:
    """Return where to send what only the tap ``name`` of ``queue`` shall receive. It is no queue to declare."""
    return BrokerQueue(name, Durability.TRANSIENT, exchange=queue.exchange)


def worker_queue(worker_id: str) -> BrokerQueue:
    """Return the broker queue of tasks for one worker, for runs that must stay on the worker that began them."""
    return BrokerQueue(f"dagway.worker.{worker_id}", Durability.REPRODUCIBLE, expires_s=1800)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send.

    ``again``: it may have been sent before, so it is delivered with ``redelivered`` set. ``urgent``: it overtakes those
    that are not; only for queues that are not ``batched``.
    """

    queue: BrokerQueue
    body: bytes
    message_id: str
    again: bool = False
    urgent: bool = False


class Delivery(Protocol):
    """One received message. Settle it once, by ``ack``, ``retry`` or ``dead_letter``. A second call does nothing."""

    @property
    def body(self) -> bytes: ...
    @property
    def message_id(self) -> str: ...
    @property
    def redelivered(self) -> bool: ...
    @property
    def queue(self) -> BrokerQueue: ...
    @property
    def arrived_s(self) -> float:
        """When this process received the message, by its monotonic clock. ``take`` returns messages in this order."""

    @property
    def held(self) -> bool:
        """Whether the consumer still has the message: it is not settled, and the connection was not lost since."""

    def ack(self) -> None:
        """Acknowledge the message, which is then never delivered again."""

    def retry(self) -> None:
        """Give the message back, to be delivered again with ``redelivered`` set."""

    def dead_letter(self, why: str) -> None:
        """Make the message a dead letter. ``why`` is kept as the reason.

        RabbitMQ does not keep it for a REPRODUCIBLE message: those go to workers, which have no right to write dead
        letters, so the broker moves the message. Log ``why``.
        """

    def reply(self, body: bytes) -> None:
        """Send a reply to the sender, if the sender awaits one. The reply may be lost."""


class Consumer(Protocol):
    """Receives messages from one or more broker queues, with at most ``prefetch`` unsettled deliveries per queue."""

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        """Return up to ``limit`` deliveries, waiting at most ``timeout_s`` for the first."""

    def interrupt(self) -> None:
        """End the wait of ``take``: the call that waits now, or else the next one, returns what has arrived."""

    def pause(self) -> None:
        """Stop deliveries. ``take`` still returns messages that the broker has sent already.

        With ``prefetch=1``, no message arrives from a queue that has an unsettled delivery, even after that delivery
        is settled.
        """

    def wind_down(self) -> None:
        """Stop deliveries so that the broker returns none that was on its way, which would count as redelivered.

        On each queue, settlements wait until ``prefetch`` deliveries are unsettled or none has come for half a second.
        """

    def resume(self) -> None:
        """Start deliveries again. On a queue with unsettled deliveries, they start when all of those are settled."""

    def add_queue(self, queue: BrokerQueue) -> None:
        """Declare ``queue`` and consume from it too."""

    @property
    def connected_for_s(self) -> float:
        """For how many seconds the consumer has been connected without interruption; 0 while it is not connected."""

    def close(self) -> None:
        """Stop consuming. Unsettled deliveries return to their broker queues."""


class Tap(Protocol):
    """Receives a copy of each message that is sent to one broker queue, on a broker queue of its own."""

    @property
    def session(self) -> int:
        """The number of the present session at the broker, counted from 1; 0 while there is none.

        The tap's broker queue exists as long as its session. While it exists, the broker may have delivered messages
        to consumers of this transport that are not settled yet; when it is gone, they return to their broker queues.
        """


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be handled. ``queue`` is the name of the broker queue that it came from."""

    id: str
    queue: str
    body: bytes
    reason: str

    @property
    def fingerprint(self) -> str:
        """Identifies the letter: 32 hexadecimal digits. Only copies of one message in one queue have the same.

        The id does not: its sender chose it, and may have sent several messages with it.
        """
        head = f"{self.queue}\0{self.id}\0".encode("utf-8", "surrogatepass")
        return hashlib.sha256(head + self.body).hexdigest()[:32]


class DeadLetterDecision(StrEnum):
    """What is to be done with a dead letter."""

    KEEP = ""
    RETURN = "return"
    """Send it to the broker queue that it came from."""
    DISCARD = "discard"
    """Delete it."""


class WorkerTransport(Protocol):
    """The part of a ``Transport`` that a worker uses."""

    def send(self, message: Outgoing) -> "Future[None]":
        """Publish a message. The future completes when the message is accepted, as the module describes."""

    def consume(self, queues: Sequence[BrokerQueue], *, prefetch: int, acks_wait_s: float = 0) -> Consumer:
        """Open a consumer. It declares the broker queues, and continues after reconnects.

        ``acks_wait_s``: how long an acknowledgement may wait, to be sent together with later ones. On a SAFE queue the
        broker writes each acknowledgement to disk. If the process crashes before it sends them, the messages are
        delivered again.
        """

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        """Call ``callback(topic, body)`` for each broadcast to one of ``topics``, on one thread, until ``close``."""

    @property
    def one_program(self) -> bool:
        """Whether all who read what is sent run this very program: no earlier version need understand it."""

    @property
    def healthy(self) -> bool:
        """Whether the broker is connected and does not block publishers, so that a send would be tried."""

    @property
    def forbidden(self) -> tuple[str, ...]:
        """The names of the broker queues that this process wants to consume and whose login may not."""

    def close(self) -> None:
        """Close consumers, listeners and connections. Pending sends fail as after a lost connection."""


class Transport(WorkerTransport, Protocol):
    """The connection of one process to the broker."""

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        """Create those of the broker queues that do not exist.

        Raises:
            BrokerUnavailable: the broker cannot be reached or blocks publishers.
            ConfigInvalid: a broker queue of the same name exists with different arguments.
        """

    def waiting(self, queue: BrokerQueue) -> int:
        """Return how many messages of a broker queue no consumer has received; 0 if the queue does not exist.

        ``queue`` may be ``DEAD_LETTERS``. Raises ``BrokerUnavailable``.
        """

    def consume(
        self,
        queues: Sequence[BrokerQueue],
        *,
        prefetch: int,
        acks_wait_s: float = 0,
        priorities: Mapping[str, int] = NO_PRIORITIES,
    ) -> Consumer:
        """Open a consumer, as for a worker.

        ``priorities``: by name of a queue; 0 for a queue that is not named. A message goes to the consumer with the
        highest priority of those that are connected and have room in their prefetch. The embedded transport ignores
        it: there, all consumers are in one process.
        """

    def request(self, message: Outgoing) -> PendingReply:
        """Publish a message whose consumer replies once, by ``Delivery.reply``."""

    def broadcast(self, topic: str, body: bytes) -> None:
        """Send to all current listeners of ``topic``. Never blocks and never raises; the message may be lost."""

    def tap(self, queue: BrokerQueue, name: str, callback: Callable[[bytes], None]) -> Tap:
        """Call ``callback(body)`` for a copy of each message sent to ``queue`` from now on, until ``close``.

        All calls come from one thread, in the order in which the broker received the messages. ``name`` is the name
        of the tap's broker queue; only this process may use it, and what is sent to ``tap_address(queue, name)`` comes
        to this tap alone, in order with the copies. Consumers receive nothing until the tap does, so open
        it before them. Copies that wait longer than 10 s may be dropped.
        """

    def exists(self, name: str) -> bool:
        """Return whether a broker queue of this name exists, even if only another process may use it.

        Raises ``BrokerUnavailable``.
        """

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return at most ``limit`` dead letters, without removing them."""

    def settle_dead_letters(self, decide: Callable[[DeadLetter], DeadLetterDecision], limit: int) -> frozenset[str]:
        """Do with each of the first ``limit`` dead letters what ``decide`` says.

        A letter is removed when the broker has accepted its copy, so a crash in between sends it twice. It may become
        a dead letter again before the call ends, and ``decide`` may then be asked about it again. Only one body at a
        time is in memory. ``decide`` may run on the transport's own thread, so it must be short and must not block.

        Returns:
            The fingerprints of the letters that could not be returned, because their broker queues do not exist.

        Raises:
            BrokerUnavailable, PublishUnconfirmed: some of the decisions may be carried out.
        """

    @property
    def blocked(self) -> bool:
        """Whether the broker is connected but accepts no messages, because it is low on memory or disk space."""
