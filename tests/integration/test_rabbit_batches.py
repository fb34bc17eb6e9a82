"""Messages sent to one broker queue together travel as one AMQP message (a batch), and are consumed one by one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

import pika
import pytest

from shared.errors import Unroutable
from shared.ids import new_token
from shared.transport.base import (
    DEAD_LETTERS,
    DELIVERY_LIMIT,
    BrokerQueue,
    DeadLetter,
    DeadLetterDecision,
    Durability,
    Outgoing,
)
from shared.transport.rabbitmq.batches import BATCH, BatchItem, pack
from shared.transport.rabbitmq.dead_letter_pass import dead_properties
from shared.transport.rabbitmq.publisher import MAX_BATCH_BYTES
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.conformance.transport_moves import SHORT_S, give_back, take_all, take_one
from tests.harness.eventually import PATIENCE_S, eventually

T = TypeVar("T")


@pytest.fixture
def transport(queues_are_awaited: None, amqp_url: str) -> Iterator[RabbitTransport]:
    transport = RabbitTransport(amqp_url, name="parcels")
    yield transport
    transport.close()


@pytest.fixture
def route() -> BrokerQueue:
    return BrokerQueue(f"test.{new_token()[:8]}", Durability.SAFE, batched=True)


def together(transport: RabbitTransport, work: Callable[[], T]) -> T:
    """Run ``work`` on the publishing thread, so that all its messages are queued before the first one leaves."""
    found: list[T] = []
    over = threading.Event()

    def run() -> None:
        found.append(work())
        over.set()

    transport._publisher.connection.call(run)
    assert over.wait(PATIENCE_S)
    return found[0]


def send(transport: RabbitTransport, route: BrokerQueue, *bodies: bytes) -> list["Future[None]"]:
    return together(transport, lambda: [transport.send(Outgoing(route, body, body.decode()[:9])) for body in bodies])


def accepted(sent: list["Future[None]"]) -> None:
    for future in sent:
        future.result(PATIENCE_S)


def waiting_at_broker(amqp_url: str, route: BrokerQueue) -> int:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        found = connection.channel().queue_declare(route.name, passive=True)
        return int(found.method.message_count)


def _is(found: int, wanted: int) -> None:
    assert found == wanted


def dead(transport: RabbitTransport, count: int) -> list[DeadLetter]:
    letters = transport.dead_letters(10)
    assert len(letters) == count
    return letters


def test_messages_sent_together_are_one_amqp_message_and_arrive_one_by_one(
    amqp_url: str, transport: RabbitTransport, route: BrokerQueue
) -> None:
    transport.declare([route])
    bodies = [b"1", b"", b"\x003", b"4"]
    accepted(send(transport, route, *bodies))
    eventually(lambda: _is(waiting_at_broker(amqp_url, route), 1))

    consumer = transport.consume([route], prefetch=1)
    taken = take_all(consumer, 4)

    assert [delivery.body for delivery in taken] == bodies
    assert [delivery.message_id for delivery in taken] == ["1", "", "\x003", "4"]
    assert not any(delivery.redelivered for delivery in taken)
    for delivery in taken:
        delivery.ack()
    eventually(lambda: _is(waiting_at_broker(amqp_url, route), 0))


def test_messages_of_other_broker_queues_are_not_batched(amqp_url: str, transport: RabbitTransport) -> None:
    route = BrokerQueue(f"test.{new_token()[:8]}", Durability.SAFE)
    transport.declare([route])

    accepted(send(transport, route, b"1", b"2", b"3"))

    eventually(lambda: _is(waiting_at_broker(amqp_url, route), 3))


def test_the_size_of_a_batch_is_limited(amqp_url: str, transport: RabbitTransport, route: BrokerQueue) -> None:
    transport.declare([route])
    large = b"x" * (MAX_BATCH_BYTES - 10)

    accepted(send(transport, route, large, large, b"1", b"2"))

    eventually(lambda: _is(waiting_at_broker(amqp_url, route), 2))
    consumer = transport.consume([route], prefetch=10)
    assert [delivery.body for delivery in take_all(consumer, 4)] == [large, large, b"1", b"2"]


def test_each_asker_gets_its_own_answer(transport: RabbitTransport, route: BrokerQueue) -> None:
    consumer = transport.consume([route], prefetch=1)
    asked = together(
        transport, lambda: [transport.request(Outgoing(route, str(n).encode(), "same")) for n in range(10)]
    )

    for delivery in take_all(consumer, 10):
        delivery.reply(b"re " + delivery.body)
        delivery.ack()

    assert [each.reply(PATIENCE_S) for each in asked] == [f"re {n}".encode() for n in range(10)]


def test_a_batch_is_redelivered_whole_unless_all_of_it_was_settled(
    transport: RabbitTransport, route: BrokerQueue
) -> None:
    first = transport.consume([route], prefetch=1)
    accepted(send(transport, route, b"1", b"2", b"3"))
    taken = take_all(first, 3)
    taken[1].ack()
    first.close()

    second = transport.consume([route], prefetch=1)
    again = take_all(second, 3)

    assert [(delivery.body, delivery.redelivered) for delivery in again] == [(b"1", True), (b"2", True), (b"3", True)]
    for delivery in again:
        delivery.ack()
    second.close()
    assert transport.consume([route], prefetch=1).take(1, SHORT_S) == []


def test_one_message_of_a_batch_that_is_given_back_is_redelivered_alone(
    transport: RabbitTransport, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=10)
    asked = together(transport, lambda: [transport.request(Outgoing(route, body, "id")) for body in (b"1", b"2")])
    one, other = take_all(consumer, 2)

    other.ack()
    one.retry()

    again = take_one(consumer)
    assert (again.body, again.redelivered) == (b"1", True)
    again.reply(b"late")
    again.ack()
    assert asked[0].reply(PATIENCE_S) == b"late"
    assert consumer.take(1, SHORT_S) == []


def test_one_message_of_a_batch_is_dead_lettered_alone(
    amqp_url: str, transport: RabbitTransport, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=10)
    accepted(send(transport, route, b"good", b"broken"))
    good, broken = take_all(consumer, 2)

    broken.dead_letter("cannot be read")
    good.ack()

    letters = eventually(lambda: dead(transport, 1))
    assert [(letter.id, letter.body, letter.reason) for letter in letters] == [("broken", b"broken", "cannot be read")]
    eventually(lambda: _is(waiting_at_broker(amqp_url, route), 0))
    eventually(lambda: _is(transport.waiting(DEAD_LETTERS), 1))
    assert give_back(transport, 10) == 1
    assert take_one(consumer).body == b"broken"


def test_a_batch_that_killed_its_consumers_becomes_one_dead_letter_per_message(
    transport: RabbitTransport, route: BrokerQueue
) -> None:
    transport.declare([route])
    accepted(send(transport, route, b"1", b"2", b"3"))
    for _ in range(DELIVERY_LIMIT + 1):
        consumer = transport.consume([route], prefetch=1)
        take_all(consumer, 3)
        consumer.close()

    letters = eventually(lambda: dead(transport, 3))

    assert [(letter.id, letter.body, letter.queue) for letter in letters] == [
        (body, body.encode(), route.name) for body in ("1", "2", "3")
    ]
    # The broker puts back what was only looked at, which takes a moment.
    eventually(lambda: _is(len(transport.dead_letters(2)), 2))
    eventually(lambda: _is(transport.waiting(DEAD_LETTERS), 1))
    assert give_back(transport, 10) == 3
    again = transport.consume([route], prefetch=3)
    assert [delivery.body for delivery in take_all(again, 3)] == [b"1", b"2", b"3"]


def test_a_dead_batch_of_which_something_is_kept_is_taken_apart(transport: RabbitTransport, route: BrokerQueue) -> None:
    transport.declare([route])
    parts = [BatchItem(name, "", name.encode()) for name in ("back", "gone", "here")]
    properties = dead_properties(route, "parcel", "why")
    properties.content_type = BATCH
    transport._publisher.send_raw(DEAD_LETTERS.name, pack(parts), properties).result(PATIENCE_S)
    wanted = {"back": DeadLetterDecision.RETURN, "gone": DeadLetterDecision.DISCARD}
    asked: list[str] = []

    def decide(letter: DeadLetter) -> DeadLetterDecision:
        asked.append(letter.id)
        return wanted.get(letter.id, DeadLetterDecision.KEEP)

    assert transport.settle_dead_letters(lambda _letter: DeadLetterDecision.KEEP, 10) == frozenset()
    eventually(lambda: transport.waiting(DEAD_LETTERS) == 1)
    transport.settle_dead_letters(decide, 10)

    assert asked == ["back", "gone", "here", "here"]
    [back] = take_all(transport.consume([route], prefetch=10), 1)
    assert (back.message_id, back.body) == ("back", b"back")
    assert eventually(lambda: dead(transport, 1)) == [DeadLetter("here", route.name, b"here", "why")]


def test_each_message_of_an_unroutable_batch_fails(transport: RabbitTransport, route: BrokerQueue) -> None:
    sent = send(transport, route, b"1", b"2")

    assert [type(future.exception(PATIENCE_S)) for future in sent] == [Unroutable, Unroutable]


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff" * 40, b"\x00\x01\x00\x00\x00\x00\x00\x00\xff"])
def test_a_message_with_the_content_type_but_not_the_form_of_a_batch_is_one_message(
    transport: RabbitTransport, route: BrokerQueue, amqp_url: str, body: bytes
) -> None:
    consumer = transport.consume([route], prefetch=1)
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        properties = pika.BasicProperties(content_type=BATCH, message_id="odd")
        connection.channel().basic_publish("", route.name, body, properties)

    delivery = take_one(consumer)

    assert (delivery.body, delivery.message_id) == (body, "odd")
    delivery.ack()
