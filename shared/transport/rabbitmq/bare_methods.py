"""AMQP methods sent without the additional behaviour of pika's channel.

Until the broker answers, pika's ``basic_cancel`` rejects every message that arrives, which marks it as redelivered.
pika's ``basic_consume`` waits until earlier calls are answered, so a later acknowledgement would overtake it. Both
break the guarantee of ``Consumer.pause``. Only this module uses a private method of pika. pyproject.toml pins pika's
version, and ``tests/integration/test_rabbit_pause.py`` shows the difference.
"""

from typing import Any

from pika.spec import Basic

__all__ = ["send_cancel", "send_consume"]


def send_cancel(channel: Any, consumer_tag: str) -> None:
    """Ask the broker to stop deliveries. Messages that it has sent already still reach the consumer's callback."""
    channel._send_method(Basic.Cancel(consumer_tag=consumer_tag))  # noqa: SLF001 - see the module


def send_consume(channel: Any, queue: str, consumer_tag: str, arguments: dict[str, int]) -> None:
    """Ask the broker to start deliveries again. pika must know the callback of ``consumer_tag``; there is no answer."""
    method = Basic.Consume(queue=queue, consumer_tag=consumer_tag, nowait=True, arguments=arguments)
    channel._send_method(method)  # noqa: SLF001
