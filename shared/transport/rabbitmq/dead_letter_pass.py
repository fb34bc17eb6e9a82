"""One pass over the queue of dead letters, which returns, discards or keeps each.

A letter that is kept stays unacknowledged, and the broker puts it back when the channel closes. If messages died in one
batch and not all of them are kept, those that are kept become dead letters of their own.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import pika

from shared.errors import DagwayError, Unroutable
from shared.transport.base import BrokerQueue, DeadLetter, DeadLetterDecision, Durability
from shared.transport.futures import complete, fail
from shared.transport.rabbitmq.batches import parts_of
from shared.transport.rabbitmq.publisher import Publisher
from shared.transport.topology import (
    DEAD_QUEUE,
    HEADER_DURABILITY,
    HEADER_EXPIRES,
    HEADER_QUEUE,
    HEADER_REASON,
    queue_from_headers,
)

__all__ = ["DeadLetterPass", "dead_properties"]


def dead_properties(queue: BrokerQueue, message_id: str, why: str) -> Any:
    """Return the AMQP properties of a dead letter, with its reason and the broker queue that it came from."""
    headers: dict[str, str | int] = {
        HEADER_REASON: why[:2000],
        HEADER_QUEUE: queue.name,
        HEADER_DURABILITY: queue.durability.value,
    }
    if queue.expires_s is not None:
        headers[HEADER_EXPIRES] = queue.expires_s
    return pika.BasicProperties(message_id=message_id, delivery_mode=2, headers=headers)


class DeadLetterPass:
    """See ``Transport.settle_dead_letters``. All of it runs on the thread of the publishing connection.

    ``done`` gets the fingerprints of the letters that could not be returned.
    """

    def __init__(
        self,
        publisher: Publisher,
        channel: Any,
        done: "Future[frozenset[str]]",
        decide: Callable[[DeadLetter], DeadLetterDecision],
        limit: int,
    ) -> None:
        self._publisher = publisher
        self._channel = channel
        self._done = done
        self._decide = decide
        self._left = limit
        self._stuck: set[str] = set()

    def start(self) -> None:
        """Take the first dead letter. ``done`` completes after the last."""
        self._channel.add_callback(lambda _frame: self._end(), [pika.spec.Basic.GetEmpty], False)
        self._next()

    def _next(self) -> None:
        if self._left <= 0:
            self._end()
        elif self._channel.is_open:
            self._channel.basic_get(DEAD_QUEUE, self._got)

    def _end(self) -> None:
        # Only when the channel is closed are the kept letters back in the queue.
        self._channel.add_on_close_callback(lambda *_: complete(self._done, frozenset(self._stuck)))
        self._channel.close()

    def _fail(self, error: Exception) -> None:
        fail(self._done, error)
        if self._channel.is_open:
            self._channel.close()

    def _got(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        queue, reason = queue_from_headers(properties.headers or {})
        letters = [DeadLetter(part.message_id, queue.name, part.body, reason) for part in parts_of(properties, body)]
        self._left -= len(letters)
        try:
            decisions = [self._decide(letter) for letter in letters]
        except Exception as error:  # noqa: BLE001 - raised by the caller's thread; this one must go on
            self._fail(error)
            return
        by_decision: dict[DeadLetterDecision, list[DeadLetter]] = {each: [] for each in DeadLetterDecision}
        for letter, decision in zip(letters, decisions, strict=True):
            by_decision[decision].append(letter)
        kept = by_decision[DeadLetterDecision.KEEP]

        def returned(stuck: Sequence[DeadLetter]) -> None:
            self._stuck.update(letter.fingerprint for letter in stuck)
            staying = [*kept, *stuck]
            if len(staying) == len(letters):
                self._next()
            else:
                self._send(staying, queue, lambda _none: acknowledge(), dead=True)

        def acknowledge() -> None:
            if self._channel.is_open:
                self._channel.basic_ack(method.delivery_tag)
                self._next()

        self._send(by_decision[DeadLetterDecision.RETURN], queue, returned, dead=False)

    def _send(
        self,
        letters: Sequence[DeadLetter],
        queue: BrokerQueue,
        then: Callable[[Sequence[DeadLetter]], None],
        *,
        dead: bool,
    ) -> None:
        """Send letters to ``queue``, or with ``dead`` to the dead letters, one after the other.

        Then call ``then`` with those whose broker queue does not exist. If another send fails, the pass ends.
        """
        waiting, stuck = deque(letters), list[DeadLetter]()

        def send_next() -> None:
            if not waiting:
                then(stuck)
                return
            letter = waiting.popleft()
            if dead:
                target, properties = DEAD_QUEUE, dead_properties(queue, letter.id, letter.reason)
            else:
                mode = 1 if queue.durability is Durability.TRANSIENT else 2
                target = queue.name
                properties = pika.BasicProperties(message_id=letter.id, delivery_mode=mode)
            accepted = self._publisher.send_raw(target, letter.body, properties)
            # The send may fail on this thread, inside a callback of pika: do not call pika from there.
            accepted.add_done_callback(lambda outcome: self._publisher.connection.call(lambda: sent(letter, outcome)))

        def sent(letter: DeadLetter, outcome: "Future[None]") -> None:
            error = outcome.exception()
            if isinstance(error, Unroutable) and not dead:
                stuck.append(letter)
            elif isinstance(error, DagwayError):
                self._fail(error)
                return
            send_next()

        send_next()
