"""The names and arguments on the broker that ``base`` does not define: exchanges, queues and headers.

An existing queue can only be declared with the arguments that it was created with; otherwise RabbitMQ answers 406.
RabbitMQ 3.13, 4.0 and 4.3 accept all of these arguments. There is no transient non-exclusive queue and no
``x-max-priority``, and delivery limits are explicit because their default differs by version.
"""

from collections.abc import Mapping

from shared.transport import base
from shared.transport.base import DELIVERY_LIMIT, BrokerQueue, Durability, Exchange

__all__ = [
    "CONTROL_EXCHANGE",
    "DEAD_ARGUMENTS",
    "DEAD_EXCHANGE",
    "DEAD_QUEUE",
    "EXCHANGES",
    "HEADER_AGAIN",
    "HEADER_DURABILITY",
    "HEADER_EXPIRES",
    "HEADER_QUEUE",
    "HEADER_REASON",
    "REJECTED_EXCHANGE",
    "REJECTED_KEY",
    "TAP_ARGUMENTS",
    "TRANSIENT_TTL_S",
    "Argument",
    "known_queue",
    "queue_arguments",
    "queue_from_headers",
]

Argument = str | int

CONTROL_EXCHANGE = "dagway.control"
"""Topic exchange for broadcasts. Each listener binds an exclusive queue to it."""
DEAD_EXCHANGE = "dagway.dead"
DEAD_QUEUE = base.DEAD_LETTERS.name
REJECTED_EXCHANGE = "dagway.rejected"
"""The dead-letter exchange of task queues. It leads to ``DEAD_QUEUE``.

To declare a queue with a dead-letter exchange takes the right to write to that exchange, and a worker declares its own
queue. This is a topic exchange, so that a topic permission can still keep a worker from publishing to it.
"""
REJECTED_KEY = "rejected"
"""The routing key of all that goes through ``REJECTED_EXCHANGE``. No topic of a broadcast is called so."""
EXCHANGES = {
    DEAD_EXCHANGE: "fanout",
    REJECTED_EXCHANGE: "topic",
    CONTROL_EXCHANGE: "topic",
    Exchange.REPORTS: "direct",
    Exchange.REQUESTS: "direct",
}
"""All exchanges, with their types. All are durable."""

TRANSIENT_TTL_S = 10
"""Time to live of messages in TRANSIENT queues. A heartbeat older than the default lease is useless."""

TAP_ARGUMENTS: dict[str, Argument] = {
    "x-queue-type": "classic",
    "x-message-ttl": TRANSIENT_TTL_S * 1000,
    # Limits the broker's memory while a consumer hangs. The oldest copies are dropped first.
    "x-max-length": 100_000,
}

HEADER_REASON = "x-dagway-reason"
HEADER_QUEUE = "x-dagway-route"
HEADER_DURABILITY = "x-dagway-durability"
HEADER_EXPIRES = "x-dagway-expires"
HEADER_AGAIN = "x-dagway-again"
"""Header of a message that may have been delivered before, though for the broker it is a new message.

It was given back alone from a batch, or its sender sent it again (``Outgoing.again``).
"""

_UNLIMITED = 1_000_000_000
"""A delivery limit that is never reached. From 4.0 on the default is 20; 3.13 does not accept -1."""
DEAD_ARGUMENTS: dict[str, Argument] = {
    "x-queue-type": "quorum",
    # Listing dead letters returns them, and each return counts.
    "x-delivery-limit": _UNLIMITED,
}

_FIXED = (base.COMMANDS, base.EVENTS, *base.EVENT_SHARDS, base.LOGS, base.AUDIT, base.HEARTBEATS)
_KNOWN = {queue.name: queue for queue in _FIXED}


def queue_arguments(queue: BrokerQueue) -> dict[str, Argument]:
    """Return the arguments for the declaration of ``queue``."""
    if queue.durability is Durability.SAFE:
        arguments: dict[str, Argument] = {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            # at-least-once needs reject-publish: without it the broker dead-letters at most once.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": DELIVERY_LIMIT,
        }
    elif queue.durability is Durability.REPRODUCIBLE:
        arguments = {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": REJECTED_EXCHANGE,
            "x-dead-letter-routing-key": REJECTED_KEY,
            # Workers return tasks for which they have no free slot.
            "x-delivery-limit": _UNLIMITED,
        }
    else:
        arguments = {"x-queue-type": "classic", "x-message-ttl": TRANSIENT_TTL_S * 1000}
    if queue.expires_s is not None:
        arguments["x-expires"] = queue.expires_s * 1000
    return arguments


def known_queue(name: str) -> BrokerQueue:
    """Return the broker queue called ``name``. A queue with an unknown name is assumed to be SAFE."""
    if name in _KNOWN:
        return _KNOWN[name]
    if name.startswith("dagway.tasks."):
        return BrokerQueue(name, Durability.REPRODUCIBLE)
    if name.startswith("dagway.worker."):
        return base.worker_queue(name.removeprefix("dagway.worker."))
    return BrokerQueue(name, Durability.SAFE)


def queue_from_headers(headers: Mapping[str, object]) -> tuple[BrokerQueue, str]:
    """Return the broker queue that a dead letter came from, and the reason why it is one.

    If the broker made it a dead letter, ``x-death`` says so, newest first. Its other headers are those of its sender,
    who may be anybody. If a consumer did, it is a copy with no headers but Dagway's own.
    """
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        queue, reason = known_queue(str(deaths[0].get("queue", ""))), str(deaths[0].get("reason", "unknown"))
        # Only workers reject: schedulers publish a copy with Dagway's own headers.
        return queue, "rejected by a worker" if reason == "rejected" else f"by the broker: {reason.replace('_', ' ')}"
    name = headers.get(HEADER_QUEUE)
    if isinstance(name, str):
        expires = headers.get(HEADER_EXPIRES)
        durability = Durability(str(headers.get(HEADER_DURABILITY, Durability.SAFE)))
        queue = BrokerQueue(name, durability, expires if isinstance(expires, int) else None)
        return queue, str(headers.get(HEADER_REASON, ""))
    return known_queue(""), "unknown"
