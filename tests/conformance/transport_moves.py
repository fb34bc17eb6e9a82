"""Helper functions of the transport's conformance tests."""

from collections.abc import Callable

from shared.errors import Unroutable
from shared.ids import new_token
from shared.transport.base import (
    BrokerQueue,
    Consumer,
    DeadLetter,
    DeadLetterDecision,
    Delivery,
    Durability,
    Exchange,
    Outgoing,
    Transport,
)
from tests.harness.eventually import PATIENCE_S, eventually

Open = Callable[[], Transport]
SHORT_S = 0.3
"""How long a test waits before it concludes that no message arrives."""


def fresh(
    durability: Durability = Durability.SAFE, expires_s: int | None = None, exchange: Exchange = Exchange.DEFAULT
) -> BrokerQueue:
    return BrokerQueue(f"test.{new_token()[:8]}", durability, expires_s, exchange=exchange)


def put(transport: Transport, route: BrokerQueue, *bodies: bytes) -> None:
    for accepted in [transport.send(Outgoing(route, body, body.decode())) for body in bodies]:
        accepted.result(PATIENCE_S)


def take_one(consumer: Consumer) -> Delivery:
    taken = consumer.take(1, 60)
    assert taken, "nothing arrived"
    return taken[0]


def take_all(consumer: Consumer, count: int) -> list[Delivery]:
    taken: list[Delivery] = []

    def enough() -> bool:
        taken.extend(consumer.take(count - len(taken), 0.1))
        return len(taken) == count

    eventually(enough)
    return taken


def only_letter(transport: Transport) -> DeadLetter:
    letters = transport.dead_letters(10)
    assert len(letters) == 1, f"{len(letters)} dead letters"
    return letters[0]


def give_back(transport: Transport, limit: int) -> int:
    """Return dead letters to their broker queues; return how many there were."""
    asked: list[str] = []

    def decide(letter: DeadLetter) -> DeadLetterDecision:
        asked.append(letter.id)
        return DeadLetterDecision.RETURN

    assert transport.settle_dead_letters(decide, limit) == frozenset()
    return len(asked)


def is_unroutable(transport: Transport, route: BrokerQueue) -> bool:
    return isinstance(transport.send(Outgoing(route, b"y", "y")).exception(PATIENCE_S), Unroutable)
