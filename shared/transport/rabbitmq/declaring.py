"""Creating exchanges and broker queues, and checking for those that other services create.

Schedulers create all of them, except that each worker declares its own queue. Gateways and workers need no right to
configure anything else: a passive declaration only checks that a queue or an exchange exists. If it does not, the
broker closes the channel with 404.
"""

from collections.abc import Callable
from typing import Any

from shared.transport.base import BrokerQueue, Exchange
from shared.transport.topology import (
    DEAD_ARGUMENTS,
    DEAD_EXCHANGE,
    DEAD_QUEUE,
    EXCHANGES,
    REJECTED_EXCHANGE,
    REJECTED_KEY,
    queue_arguments,
)

__all__ = ["MISSING", "check_exchanges", "declare_exchanges", "declare_queue", "is_declared_by_its_consumer"]

MISSING = 404


def _ignore(_frame: object) -> None:
    """Ignore an answer, which always means success, because a refusal closes the channel."""


def declare_exchanges(channel: Any) -> None:
    """Create all exchanges that do not exist, and the queue of dead letters."""
    for exchange, kind in EXCHANGES.items():
        channel.exchange_declare(exchange, kind, durable=True, callback=_ignore)
    channel.queue_declare(DEAD_QUEUE, durable=True, arguments=DEAD_ARGUMENTS, callback=_ignore)
    channel.queue_bind(DEAD_QUEUE, DEAD_EXCHANGE, callback=_ignore)
    channel.queue_bind(DEAD_QUEUE, REJECTED_EXCHANGE, routing_key=REJECTED_KEY, callback=_ignore)


def check_exchanges(channel: Any) -> None:
    """Check that all exchanges exist."""
    for exchange, kind in EXCHANGES.items():
        channel.exchange_declare(exchange, kind, passive=True, callback=_ignore)


def is_declared_by_its_consumer(queue: BrokerQueue) -> bool:
    """Return whether ``queue`` is the own queue of a worker. Schedulers declare all other broker queues."""
    return queue.expires_s is not None


def declare_queue(channel: Any, queue: BrokerQueue, then: Callable[[Any], None]) -> None:
    """Create ``queue`` if it does not exist, and bind it to its exchange. pika calls ``then`` after the last answer."""
    arguments = queue_arguments(queue)
    if queue.exchange is Exchange.DEFAULT:
        channel.queue_declare(queue.name, durable=True, arguments=arguments, callback=then)
        return
    channel.queue_declare(queue.name, durable=True, arguments=arguments, callback=_ignore)
    channel.queue_bind(queue.name, queue.exchange, routing_key=queue.name, callback=then)
