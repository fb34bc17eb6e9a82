"""Creating exchanges and broker queues, and checking for those that other services create.

Schedulers create all of them, except that each worker declares its own queue. Gateways and workers need no right to
configure anything else: a passive declaration only checks that a queue or an exchange exists. If it does not, the
broker closes the channel with 404.

A classic queue has one node. While that node is down, the broker answers a declaration only after 64 s, with 404
(RabbitMQ 4.0). A TRANSIENT queue is deleted instead of waiting, and so is made anew on another node.
"""

import logging
from collections.abc import Callable
from typing import Any

from shared.transport.base import BrokerQueue, Durability, Exchange
from shared.transport.rabbitmq.connection import Connection
from shared.transport.topology import (
    DEAD_ARGUMENTS,
    DEAD_EXCHANGE,
    DEAD_QUEUE,
    EXCHANGES,
    REJECTED_EXCHANGE,
    REJECTED_KEY,
    queue_arguments,
)

__all__ = [
    "FORBIDDEN",
    "MISSING",
    "check_exchanges",
    "declare_exchanges",
    "declare_queue",
    "ignore_answer",
    "is_declared_by_its_consumer",
]

FORBIDDEN = 403
MISSING = 404
_NODE_AWAY_S = 2.0
"""After this time without an answer to a declaration, the node of the queue is taken to be down."""


_log = logging.getLogger(__name__)


def ignore_answer(_frame: object) -> None:
    """Ignore an answer, which always means success, because a refusal closes the channel."""


def declare_exchanges(channel: Any, then: Callable[[Any], None] = ignore_answer) -> None:
    """Create all exchanges that do not exist, and the queue of dead letters. pika calls ``then`` after the last."""
    for exchange, kind in EXCHANGES.items():
        channel.exchange_declare(exchange, kind, durable=True, callback=ignore_answer)
    channel.queue_declare(DEAD_QUEUE, durable=True, arguments=DEAD_ARGUMENTS, callback=ignore_answer)
    channel.queue_bind(DEAD_QUEUE, DEAD_EXCHANGE, callback=ignore_answer)
    channel.queue_bind(DEAD_QUEUE, REJECTED_EXCHANGE, routing_key=REJECTED_KEY, callback=then)


def check_exchanges(channel: Any) -> None:
    """Check that all exchanges exist."""
    for exchange, kind in EXCHANGES.items():
        channel.exchange_declare(exchange, kind, passive=True, callback=ignore_answer)


def is_declared_by_its_consumer(queue: BrokerQueue) -> bool:
    """Return whether ``queue`` is the own queue of a worker. Schedulers declare all other broker queues."""
    return queue.expires_s is not None


def declare_queue(connection: Connection, channel: Any, queue: BrokerQueue, then: Callable[[Any], None]) -> None:
    """Create ``queue`` if it does not exist, and bind it to its exchange. pika calls ``then`` after the last answer.

    ``channel`` is a channel of ``connection``.
    """
    arguments = queue_arguments(queue)
    answered = False

    def declared(frame: Any) -> None:
        nonlocal answered
        answered = True
        if queue.exchange is Exchange.DEFAULT:
            then(frame)

    def check() -> None:
        if not answered and channel.is_open:
            _log.warning("queue.node_down", extra={"broker_queue": queue.name})
            channel.connection.channel(on_open_callback=lambda other: _delete_unused(other, queue))

    channel.queue_declare(queue.name, durable=True, arguments=arguments, callback=declared)
    if queue.exchange is not Exchange.DEFAULT:
        channel.queue_bind(queue.name, queue.exchange, routing_key=queue.name, callback=then)
    if queue.durability is Durability.TRANSIENT:
        connection.later(_NODE_AWAY_S, check)


def _delete_unused(channel: Any, queue: BrokerQueue) -> None:
    """Delete a queue, unless it has consumers. The broker then carries out the declaration that still waits."""
    channel.queue_delete(queue.name, if_unused=True, callback=lambda _frame: channel.close())
