"""AMQP methods that pika's channel sends in its own way only.

pika's ``basic_cancel`` rejects every message that arrives until the broker has answered, which marks it as redelivered.
Its ``basic_consume`` waits for earlier calls to be answered, so that an acknowledgement would overtake it. Both break
the promise of ``Consumer.pause``. This is the only place that uses a private method of pika: its version is pinned in
pyproject.toml, and ``tests/integration/test_rabbit_pause.py`` shows the difference.
"""

from typing import Any

from pika.spec import Basic

__all__ = ["send_cancel", "send_consume"]


def send_cancel(channel: Any, consumer_tag: str) -> None:
    """Ask for no more deliveries; those under way still reach the consumer's callback."""
    channel._send_method(Basic.Cancel(consumer_tag=consumer_tag))  # noqa: SLF001 - see the module


def send_consume(channel: Any, queue: str, consumer_tag: str) -> None:
    """Ask for deliveries again, for a consumer tag whose callback pika knows; the broker does not answer."""
    channel._send_method(Basic.Consume(queue=queue, consumer_tag=consumer_tag, nowait=True))  # noqa: SLF001
