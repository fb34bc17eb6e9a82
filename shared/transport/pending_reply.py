"""A published message whose reply has not come yet."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from shared.errors import DagwayError, SignatureRefused

__all__ = ["PendingReply"]

T = TypeVar("T")


class PendingReply:
    """The acceptance and the reply of one request. Any thread may settle them; only the sender waits for them.

    It is used instead of two futures, because under gevent the wait for a future, which allows many waiters and
    callbacks, takes twice as long.
    """

    __slots__ = ("_acceptances", "_forget", "_replies", "verify")

    def __init__(self, forget: Callable[[], object]) -> None:
        self.verify: Callable[[bytes], object] | None = None
        """Called with the reply, by the thread that waits. If it raises ``SignatureRefused``, the reply is dropped."""
        self._forget = forget
        self._acceptances: SimpleQueue[DagwayError | None] = SimpleQueue()
        self._replies: SimpleQueue[bytes | DagwayError] = SimpleQueue()

    # -- the sender's side ---------------------------------------------------------------------

    def accepted(self, timeout_s: float) -> None:
        """Wait until the broker has accepted the message.

        Raises:
            TimeoutError: the broker has not confirmed the message yet.
            BrokerUnavailable, Unroutable, PublishUnconfirmed: the send failed.
        """
        error = _next(self._acceptances, timeout_s)
        if error is not None:
            raise error

    def reply(self, timeout_s: float) -> bytes:
        """Wait for the reply and return it. A reply that comes after a timeout may be dropped.

        Raises:
            TimeoutError: there is no reply yet, or its signature was refused.
            BrokerUnavailable: the connection was lost before the reply came.
            Unroutable, PublishUnconfirmed: the message was not accepted.
        """
        try:
            found = _next(self._replies, timeout_s)
        except TimeoutError:
            self._forget()
            raise
        if isinstance(found, DagwayError):
            raise found
        if self.verify is not None:
            try:
                self.verify(found)
            except SignatureRefused as error:
                raise TimeoutError(str(error)) from error
        return found

    def poll(self) -> bytes | None:
        """Return the reply, or ``None`` if there is none yet. Raises as ``reply`` does, except ``TimeoutError``."""
        try:
            found = self._replies.get_nowait()
        except Empty:
            return None
        if isinstance(found, DagwayError):
            raise found
        return found

    def abandon(self) -> None:
        """Drop the reply, if it comes."""
        self._forget()

    # -- the transport's side; only the first call of each method has an effect ----------------

    def settle(self, error: DagwayError | None) -> None:
        """Set the message as accepted, or as refused with ``error``. A refused message gets no reply."""
        self._acceptances.put(error)
        if error is not None:
            self.fail(error)

    def answer(self, body: bytes) -> None:
        self._forget()
        self._replies.put(body)

    def fail(self, error: DagwayError) -> None:
        """Make ``reply`` raise ``error``, because no reply will come."""
        self._forget()
        self._replies.put(error)


def _next(queue: "SimpleQueue[T]", timeout_s: float) -> T:
    try:
        return queue.get(timeout=timeout_s)
    except Empty:
        raise TimeoutError from None
