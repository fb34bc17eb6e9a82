"""What exists on the broker, as data: the one place that names queues, exchanges and their arguments.

A queue may only be declared with the arguments it was made with (RabbitMQ answers 406 otherwise), so
nobody else spells them. Everything here is accepted by RabbitMQ 3.13, 4.0 and 4.3: no transient
non-exclusive queue, no ``x-max-priority``, delivery limits stated and never left to a default.
"""

from collections.abc import Mapping

from shared.transport import base
from shared.transport.base import DELIVERY_LIMIT, BrokerQueue, Durability

__all__ = [
    "CONTROL_EXCHANGE",
    "DEAD_ARGUMENTS",
    "DEAD_EXCHANGE",
    "DEAD_QUEUE",
    "HEADER_AGAIN",
    "HEADER_DURABILITY",
    "HEADER_EXPIRES",
    "HEADER_QUEUE",
    "HEADER_REASON",
    "TRANSIENT_TTL_S",
    "Argument",
    "known_queue",
    "queue_arguments",
    "queue_from_headers",
]

Argument = str | int

CONTROL_EXCHANGE = "dagway.control"
"""Topic exchange of broadcasts; each listener binds an exclusive queue of its own."""
DEAD_EXCHANGE = "dagway.dead"
DEAD_QUEUE = "dagway.dead"

TRANSIENT_TTL_S = 10
"""A heartbeat older than the default lease says nothing any more."""

HEADER_REASON = "x-dagway-reason"
HEADER_QUEUE = "x-dagway-route"
HEADER_DURABILITY = "x-dagway-durability"
HEADER_EXPIRES = "x-dagway-expires"
HEADER_AGAIN = "x-dagway-again"
"""On a message of a batch that was given back alone: to the broker it is a new one."""

DEAD_ARGUMENTS: dict[str, Argument] = {
    "x-queue-type": "quorum",
    # Listing gives messages back, and each return counts: from 4.0 on the default limit of 20 would
    # drop a dead letter that somebody looked at 20 times. -1 is not accepted by 3.13.
    "x-delivery-limit": 1_000_000_000,
}

_KNOWN = {queue.name: queue for queue in (base.COMMANDS, base.EVENTS, base.LOGS, base.HEARTBEATS)}


def queue_arguments(queue: BrokerQueue) -> dict[str, Argument]:
    """Return the arguments ``queue``'s durable queue is declared with."""
    if queue.durability is Durability.SAFE:
        arguments: dict[str, Argument] = {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            # The two go together: without reject-publish the broker falls back to at-most-once.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": DELIVERY_LIMIT,
        }
    else:
        arguments = {"x-queue-type": "classic"}
        if queue.durability is Durability.TRANSIENT:
            arguments["x-message-ttl"] = TRANSIENT_TTL_S * 1000
    if queue.expires_s is not None:
        arguments["x-expires"] = queue.expires_s * 1000
    return arguments


def known_queue(name: str) -> BrokerQueue:
    """Return the queue a queue's name stands for; an unknown name is taken for a SAFE queue."""
    if name in _KNOWN:
        return _KNOWN[name]
    if name.startswith("dagway.tasks."):
        return BrokerQueue(name, Durability.REPRODUCIBLE)
    if name.startswith("dagway.worker."):
        return base.worker_queue(name.removeprefix("dagway.worker."))
    return BrokerQueue(name, Durability.SAFE)


def queue_from_headers(headers: Mapping[str, object]) -> tuple[BrokerQueue, str]:
    """Return where a dead letter came from and why it is dead.

    Either we put it aside (our own headers say so) or the broker did (``x-death``, newest first).
    """
    name = headers.get(HEADER_QUEUE)
    if isinstance(name, str):
        expires = headers.get(HEADER_EXPIRES)
        durability = Durability(str(headers.get(HEADER_DURABILITY, Durability.SAFE)))
        queue = BrokerQueue(name, durability, expires if isinstance(expires, int) else None)
        return queue, str(headers.get(HEADER_REASON, ""))
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        reason = str(deaths[0].get("reason", "unknown")).replace("_", " ")
        return known_queue(str(deaths[0].get("queue", ""))), f"by the broker: {reason}"
    return known_queue(""), "unknown"
