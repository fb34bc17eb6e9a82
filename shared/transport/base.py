"""The transport seam: what Dagway asks of a message broker, and what it promises in return.

Promised by every implementation (``tests/conformance/test_transport.py`` holds them to it):

* A send is **accepted** when its future completes: on a durable route the message then survives the
  death of any one process, the broker's own restart included. It fails with ``Unroutable`` (nobody
  could ever receive it), ``BrokerUnavailable`` (nothing was accepted: away, or blocking publishers)
  or ``PublishUnconfirmed`` (nobody knows). A send never hangs and never buffers across a reconnect.
* Delivery is **at least once**. A message that was delivered before and came back (its consumer
  died, or gave it back) has ``redelivered`` set. On a SAFE route it is dead after
  ``DELIVERY_LIMIT`` returns; RabbitMQ does not count returns on the other kinds. Where messages
  travelled together (``Route.parcels``) a consumer's death brings all of them back, those that were
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

from shared.transport.pending_reply import Asked

__all__ = [
    "COMMANDS",
    "DELIVERY_LIMIT",
    "EVENTS",
    "HEARTBEATS",
    "LOGS",
    "Consumer",
    "DeadLetter",
    "Delivery",
    "Durability",
    "Outgoing",
    "Route",
    "Transport",
    "task_route",
    "worker_route",
]

DELIVERY_LIMIT = 20
"""Returns before a message is a dead letter: a dropped connection counts as one, so keep it roomy."""


class Durability(StrEnum):
    """What a route's messages must survive."""

    SAFE = "safe"
    """Replicated and synced before the confirm (RabbitMQ: quorum queue)."""
    REMAKABLE = "remakable"
    """Can be made again from the database (RabbitMQ: durable classic queue)."""
    FLEETING = "fleeting"
    """May be lost; a fresh one follows soon (RabbitMQ: classic queue, transient messages, TTL)."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where messages of one kind queue up. The name is the broker's queue name too.

    ``expires_s``: the queue may go when nobody consumed from it for so long; ``None``: never.
    ``parcels``: messages that are sent together may travel as one.
    """

    name: str
    durability: Durability
    expires_s: int | None = None
    parcels: bool = False


COMMANDS = Route("dagway.commands", Durability.SAFE, parcels=True)
EVENTS = Route("dagway.events", Durability.SAFE, parcels=True)
LOGS = Route("dagway.logs", Durability.SAFE)
HEARTBEATS = Route("dagway.heartbeats", Durability.FLEETING)


def task_route(selector: dict[str, str]) -> Route:
    """Return the route of tasks any worker with all these labels may take; ``{}``: any worker."""
    if not selector:
        return Route("dagway.tasks.any", Durability.REMAKABLE)
    text = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return Route(f"dagway.tasks.{text}", Durability.REMAKABLE)


def worker_route(worker_id: str) -> Route:
    """Return the route of tasks for one worker only: runs stick to the worker that began them."""
    return Route(f"dagway.worker.{worker_id}", Durability.REMAKABLE, expires_s=1800)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send. ``reply_to`` comes from a delivery that asked for an answer."""

    route: Route
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
    def route(self) -> Route: ...

    def ack(self) -> None:
        """Done: never deliver it again."""

    def retry(self) -> None:
        """Give it back, to be delivered again with ``redelivered`` set."""

    def dead_letter(self, why: str) -> None:
        """Put it aside for a person, with the reason."""

    def reply(self, body: bytes) -> None:
        """Answer the asker, if there is one and it still listens; may be lost."""


class Consumer(Protocol):
    """A stream of deliveries from one or more routes, at most ``prefetch`` unsettled per route."""

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        """Return up to ``limit`` deliveries, waiting at most ``timeout_s`` for the first."""

    def pause(self) -> None:
        """Stop deliveries; what was under way already is still returned by ``take``.

        With ``prefetch=1`` none arrives on a route whose delivery is unsettled, even after that
        delivery is settled.
        """

    def resume(self) -> None:
        """Let deliveries come again: on a route with unsettled deliveries, once those are settled."""

    def add_route(self, route: Route) -> None:
        """Declare ``route`` and consume from it too."""

    @property
    def connected_for_s(self) -> float:
        """How long it has been hearing without interruption; 0 while it hears nothing."""

    def close(self) -> None:
        """Stop; unsettled deliveries go back to their routes."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message put aside. ``id`` names it for ``redrive``."""

    id: str
    route: str
    body: bytes
    reason: str


class Transport(Protocol):
    """One process's way to the broker."""

    def declare(self, routes: Sequence[Route]) -> None:
        """Make sure the routes exist. Raises ``BrokerUnavailable``."""

    def waiting(self, route: Route) -> int:
        """Return how many messages wait on a route that no consumer has in hand; none on one that is gone.

        Raises ``BrokerUnavailable``.
        """

    def send(self, message: Outgoing) -> "Future[None]":
        """Publish; see the module's promise on acceptance."""

    def request(self, message: Outgoing) -> Asked:
        """Publish and listen for one ``Delivery.reply``."""

    def consume(self, routes: Sequence[Route], *, prefetch: int, acks_wait_s: float = 0) -> Consumer:
        """Open a consumer; it declares the routes and survives reconnects.

        ``acks_wait_s``: so long an acknowledgement may wait for others before the broker hears of it, which on a
        SAFE route writes each to its disk. A crash meanwhile brings those deliveries back.
        """

    def broadcast(self, topic: str, body: bytes) -> None:
        """Tell every live listener of ``topic`` now; may be lost, never blocks, never raises."""

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        """Call ``callback(topic, body)`` for each broadcast, on one thread, until ``close``."""

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return some dead letters without removing them."""

    def redrive(self, limit: int) -> int:
        """Send dead letters back to their routes; return how many."""

    @property
    def blocked(self) -> bool:
        """Whether the broker is there but refuses to take messages, for want of memory or disk."""

    @property
    def healthy(self) -> bool:
        """Whether a send would be tried at all: connected, and publishers not blocked."""

    def close(self) -> None:
        """Release everything; pending futures fail with ``BrokerUnavailable`` or unconfirmed."""
