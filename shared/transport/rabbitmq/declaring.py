"""Declaring broker queues."""

from collections.abc import Callable
from typing import Any

from shared.transport.base import BrokerQueue, Exchange
from shared.transport.topology import queue_arguments

__all__ = ["declare_queue"]


def declare_queue(channel: Any, queue: BrokerQueue, then: Callable[[Any], None]) -> None:
    """Declare ``queue`` and bind it to its exchange. pika calls ``then`` with the last answer of the broker."""
    arguments = queue_arguments(queue)
    if queue.exchange is Exchange.DEFAULT:
        channel.queue_declare(queue.name, durable=True, arguments=arguments, callback=then)
        return
    channel.queue_declare(queue.name, durable=True, arguments=arguments, callback=lambda _frame: None)
    # Each transport declares the exchange when it connects.
    channel.queue_bind(queue.name, queue.exchange, routing_key=queue.name, callback=then)
