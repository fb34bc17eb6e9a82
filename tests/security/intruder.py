"""What somebody with a stolen login of the broker can try, over plain AMQP."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import pika
from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError

__all__ = ["Intruder"]

_ACCESS_REFUSED = 403


class Intruder:
    """A connection with a stolen login. Each deed returns whether the broker let it happen."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.tried = 0

    def does(self, deed: Callable[[Any], object]) -> bool:
        """Do something on a new channel, unless the broker refuses access."""
        self.tried += 1
        channel = self._connection.channel()
        try:
            deed(channel)
        except ChannelClosedByBroker as closed:
            return _not_refused(closed)
        channel.close()
        return True

    def publishes(self, exchange: str, key: str, body: bytes) -> bool:
        """Publish a message; return whether the broker accepted it for any queue."""
        self.tried += 1
        channel = self._connection.channel()
        channel.confirm_delivery()
        try:
            channel.basic_publish(exchange, key, body, mandatory=True)
        except ChannelClosedByBroker as closed:
            return _not_refused(closed)
        except (UnroutableError, NackError):
            channel.close()
            return False
        channel.close()
        return True

    def listens(self, exchange: str, keys: Iterable[str]) -> tuple[list[str], Callable[[], list[str]]]:
        """Try to bind a queue of its own with each key.

        Return the keys that the broker allowed, and a function that returns the routing keys of what came so far.
        """
        channel = self._connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        keys = list(keys)
        allowed = [key for key in keys if self.does(lambda other, key=key: other.queue_bind(queue, exchange, key))]  # type: ignore[misc]
        heard: list[str] = []

        def received() -> list[str]:
            while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
                heard.append(got[0].routing_key)
            return heard

        return allowed, received

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection.is_open:
            self._connection.close()


def _not_refused(closed: ChannelClosedByBroker) -> bool:
    """Return False if the broker refused access. Any other error proves nothing about rights."""
    if closed.reply_code != _ACCESS_REFUSED:
        raise AssertionError(str(closed)) from closed
    return False
