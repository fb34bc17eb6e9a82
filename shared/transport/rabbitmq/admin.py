"""Rare, synchronous requests to the broker: declare queues, list and settle dead letters.

Each call opens a channel on the publishing connection and waits until its work is done. So the connection's own thread
must not call any of them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from shared.errors import BrokerUnavailable, ConfigInvalid
from shared.transport.base import DEAD_LETTERS, BrokerQueue, DeadLetter, DeadLetterDecision
from shared.transport.futures import complete, fail
from shared.transport.rabbitmq.connection import unavailable
from shared.transport.rabbitmq.dead_letter_pass import DeadLetterPass
from shared.transport.rabbitmq.declaring import declare_exchanges, declare_queue
from shared.transport.rabbitmq.publisher import Publisher
from shared.transport.topology import DEAD_QUEUE

__all__ = ["Admin"]

TIMEOUT_S = 10.0
_SETTLE_TIMEOUT_S = 60.0
"""Hundreds of letters may be sent one after the other."""
_LETTER_S = 0.01
"""The time for each letter, if there are so many that together they may take longer."""
_NOT_FOUND, _LOCKED = 404, 405
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Admin:
    """Runs the requests that the module describes."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher, self._connection = publisher, publisher.connection

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        """Create those of the broker queues that do not exist; see ``Transport.declare``."""
        wanted = list(dict.fromkeys(queues))

        def start(channel: Any, done: "Future[None]") -> None:
            left = len(wanted)

            def declared(_frame: Any) -> None:
                nonlocal left
                left -= 1
                if not left:
                    complete(done, None)
                    channel.close()

            for queue in wanted:
                declare_queue(self._connection, channel, queue, declared)

        if wanted:
            self._on_a_channel(start)

    def waiting(self, queue: BrokerQueue) -> int:
        """Return how many messages of a broker queue no consumer has received; see ``Transport.waiting``.

        The queue of dead letters is made again if it was deleted: nobody consumes from it, and would notice.
        """
        count = self._look_up(queue.name, lambda frame: frame.method.message_count, {_NOT_FOUND: None})
        if count is None and queue.name == DEAD_QUEUE and self._publisher.creates:
            self._connection.call(self._make_again)
        return count or 0

    def _make_again(self) -> None:
        connection = self._connection.pika
        if connection is not None and connection.is_open:
            _log.warning("dead_letters.queue_made_again", extra={"broker_queue": DEAD_QUEUE})
            connection.channel(
                on_open_callback=lambda channel: declare_exchanges(channel, lambda _frame: channel.close())
            )

    def exists(self, name: str) -> bool:
        """Return whether a broker queue exists; see ``Transport.exists``."""
        return self._look_up(name, lambda _frame: True, {_NOT_FOUND: False, _LOCKED: True})

    def _look_up(self, name: str, found: Callable[[Any], T], refused: Mapping[int, T]) -> T:
        """Ask about a broker queue: return ``found`` of the answer, or what ``refused`` says for the broker's code."""

        def start(channel: Any, done: "Future[T]") -> None:
            def declared(frame: Any) -> None:
                complete(done, found(frame))
                channel.close()

            def closed(_channel: Any, reason: Any) -> None:
                code: Any = getattr(reason, "reply_code", None)
                if code in refused:
                    complete(done, refused[code])

            channel.add_on_close_callback(closed)
            channel.queue_declare(name, passive=True, callback=declared)

        return self._on_a_channel(start)

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return at most ``limit`` dead letters, which the broker puts back into the queue."""
        found: list[DeadLetter] = []

        def keep(letter: DeadLetter) -> DeadLetterDecision:
            found.append(letter)
            return DeadLetterDecision.KEEP

        self.settle_dead_letters(keep, limit)
        return found[:limit]

    def settle_dead_letters(self, decide: Callable[[DeadLetter], DeadLetterDecision], limit: int) -> frozenset[str]:
        """Return, discard or keep dead letters; see ``Transport.settle_dead_letters``."""
        return self._on_a_channel(
            lambda channel, done: DeadLetterPass(self._publisher, channel, done, decide, limit).start(),
            max(_SETTLE_TIMEOUT_S, min(limit, self.waiting(DEAD_LETTERS)) * _LETTER_S),
        )

    def _on_a_channel(self, start: "Callable[[Any, Future[T]], None]", timeout_s: float = TIMEOUT_S) -> T:
        """Run ``start`` with a new channel, wait until it settles its future, and return the result."""
        done: Future[T] = Future()

        def closed(_channel: Any, reason: Any) -> None:
            code = getattr(reason, "reply_code", None)
            if code == 406:
                fail(done, ConfigInvalid(f"a broker queue exists with different arguments: {reason.reply_text}"))
            elif not done.done():
                self._connection.later(0, lambda: fail(done, unavailable("channel closed", reason)))

        def open_channel() -> None:
            connection = self._connection.pika
            if connection is None or not connection.is_open:
                fail(done, BrokerUnavailable(str(self._connection.reason)))
                return
            channel = connection.channel(on_open_callback=lambda opened: start(opened, done))
            channel.add_on_close_callback(closed)

        error = self._publisher.why_not()
        if error is not None:
            raise error
        self._connection.call(open_channel)
        try:
            return done.result(timeout_s)
        except FutureTimeout:
            raise BrokerUnavailable(f"no answer from the broker within {timeout_s:.0f} s") from None
