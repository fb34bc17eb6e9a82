"""A message that awaits one reply, between its asker and the transport it went by."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from shared.errors import DagwayError

__all__ = ["PendingReply"]

T = TypeVar("T")


class PendingReply:
    """What became of a request: settled from any thread, waited for by its one asker.

    A pair of futures would serve as well, but they are made for any number of waiters and callbacks: under gevent
    one wait for one takes twice as long.
    """

    __slots__ = ("_acceptances", "_forget", "_replies")

    def __init__(self, forget: Callable[[], object]) -> None:
        self._forget = forget
        self._acceptances: SimpleQueue[DagwayError | None] = SimpleQueue()
        self._replies: SimpleQueue[bytes | DagwayError] = SimpleQueue()

    # -- the asker's side ---------------------------------------------------------------------

    def accepted(self, timeout_s: float) -> None:
        """Wait until the broker has the message.

        Raises:
            TimeoutError: it has not said so yet.
            BrokerUnavailable, Unroutable, PublishUnconfirmed: as a send fails.
        """
        error = _next(self._acceptances, timeout_s)
        if error is not None:
            raise error

    def reply(self, timeout_s: float) -> bytes:
        """Wait for the reply, once: what comes later may be dropped.

        Raises:
            TimeoutError: there is none yet.
            BrokerUnavailable: the connection was lost before it came.
            Unroutable, PublishUnconfirmed: the message was not accepted.
        """
        try:
            found = _next(self._replies, timeout_s)
        except TimeoutError:
            self._forget()
            raise
        if isinstance(found, DagwayError):
            raise found
        return found

    # -- the transport's side; only the first word of each kind counts ------------------------

    def settle(self, error: DagwayError | None) -> None:
        """Say whether the message was accepted; if not, no reply will come."""
        self._acceptances.put(error)
        if error is not None:
            self.fail(error)

    def answer(self, body: bytes) -> None:
        self._forget()
        self._replies.put(body)

    def fail(self, error: DagwayError) -> None:
        """Say that no reply will come."""
        self._forget()
        self._replies.put(error)


def _next(queue: "SimpleQueue[T]", timeout_s: float) -> T:
    try:
        return queue.get(timeout=timeout_s)
    except Empty:
        raise TimeoutError from None
