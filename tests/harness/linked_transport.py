"""The embedded transport with messages over a link, as the worker of `dagway up` sends and receives them."""

import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from shared.transport.base import NO_PRIORITIES, BrokerQueue, Consumer, DeadLetter, DeadLetterDecision, Outgoing, Tap
from shared.transport.embedded.link_server import LinkServer
from shared.transport.embedded.linked import LinkedTransport
from shared.transport.embedded.transport import EmbeddedTransport
from shared.transport.pending_reply import PendingReply

__all__ = ["EmbeddedOverLink"]


class EmbeddedOverLink:
    """A ``Transport``: what a worker uses goes through a link, the rest straight to the embedded transport."""

    def __init__(self, journal_path: Path | None) -> None:
        here, there = socket.socketpair()
        self.broker = EmbeddedTransport(journal_path)
        self.server = LinkServer(self.broker, here)
        self.link = LinkedTransport(there)

    # -- over the link ---------------------------------------------------------------------------

    def send(self, message: Outgoing) -> "Future[None]":
        return self.link.send(message)

    def consume(
        self,
        queues: Sequence[BrokerQueue],
        *,
        prefetch: int,
        acks_wait_s: float = 0,
        priorities: Mapping[str, int] = NO_PRIORITIES,  # noqa: ARG002 - as in the embedded transport
    ) -> Consumer:
        return self.link.consume(queues, prefetch=prefetch, acks_wait_s=acks_wait_s)

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        self.link.listen(topics, callback)

    @property
    def one_program(self) -> bool:
        return self.link.one_program

    @property
    def healthy(self) -> bool:
        return self.link.healthy

    @property
    def forbidden(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        self.link.close()
        self.server.close()
        self.broker.close()

    # -- straight --------------------------------------------------------------------------------

    def declare(self, queues: Sequence[BrokerQueue]) -> None:
        self.broker.declare(queues)

    def waiting(self, queue: BrokerQueue) -> int:
        return self.broker.waiting(queue)

    def request(self, message: Outgoing) -> PendingReply:
        return self.broker.request(message)

    def broadcast(self, topic: str, body: bytes) -> None:
        self.broker.broadcast(topic, body)

    def tap(self, queue: BrokerQueue, name: str, callback: Callable[[bytes], None]) -> Tap:
        return self.broker.tap(queue, name, callback)

    def exists(self, name: str) -> bool:
        return self.broker.exists(name)

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        return self.broker.dead_letters(limit)

    def settle_dead_letters(self, decide: Callable[[DeadLetter], DeadLetterDecision], limit: int) -> frozenset[str]:
        return self.broker.settle_dead_letters(decide, limit)

    @property
    def blocked(self) -> bool:
        return self.broker.blocked
