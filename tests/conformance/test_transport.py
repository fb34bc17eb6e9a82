"""What ``shared.transport.base`` promises, held against every implementation."""

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from shared.errors import BrokerUnavailable, ConfigInvalid, PublishUnconfirmed, Unroutable
from shared.ids import new_token
from shared.transport.base import DELIVERY_LIMIT, Consumer, DeadLetter, Delivery, Durability, Outgoing, Route, Transport
from shared.transport.open import open_transport
from tests.harness.eventually import eventually

Open = Callable[[], Transport]
SHORT_S = 0.3
"""How long nothing must arrive before we believe that nothing will."""


@pytest.fixture(params=["embedded", "rabbitmq"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reopen(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open one more transport on the same broker; the embedded one closes the former first."""
    opened: list[Transport] = []
    url = str(request.getfixturevalue("amqp_url")) if kind == "rabbitmq" else "embedded:"

    def build() -> Transport:
        if kind == "embedded" and opened:
            opened[-1].close()
        transport = open_transport(url, name="conformance", data_dir=tmp_path)
        opened.append(transport)
        return transport

    yield build
    for transport in opened:
        transport.close()


@pytest.fixture
def transport(reopen: Open) -> Transport:
    return reopen()


def fresh(durability: Durability = Durability.SAFE, expires_s: int | None = None) -> Route:
    return Route(f"test.{new_token()[:8]}", durability, expires_s)


def put(transport: Transport, route: Route, *bodies: bytes) -> None:
    for accepted in [transport.send(Outgoing(route, body, body.decode())) for body in bodies]:
        accepted.result(5)


def take_one(consumer: Consumer) -> Delivery:
    taken = consumer.take(1, 5)
    assert taken, "nothing arrived within 5 s"
    return taken[0]


def take_all(consumer: Consumer, count: int) -> list[Delivery]:
    taken: list[Delivery] = []

    def enough() -> bool:
        taken.extend(consumer.take(count - len(taken), 0.1))
        return len(taken) == count

    eventually(enough)
    return taken


@pytest.mark.parametrize("durability", list(Durability))
def test_a_message_arrives_once_as_it_was_sent(transport: Transport, durability: Durability) -> None:
    route = fresh(durability)
    consumer = transport.consume([route], prefetch=10)

    transport.send(Outgoing(route, b"\x00body\xff", "id-1")).result(5)

    delivery = take_one(consumer)
    assert (delivery.body, delivery.message_id) == (b"\x00body\xff", "id-1")
    assert (delivery.redelivered, delivery.route) == (False, route)
    delivery.ack()
    assert consumer.take(1, SHORT_S) == []


def test_messages_keep_their_order_when_none_comes_back(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    bodies = [str(number).encode() for number in range(50)]

    put(transport, route, *bodies)

    seen: list[bytes] = []
    while len(seen) < 50:
        delivery = take_one(consumer)
        seen.append(delivery.body)
        delivery.ack()
    assert seen == bodies


def test_a_send_to_a_route_nobody_declared_is_unroutable(transport: Transport) -> None:
    with pytest.raises(Unroutable):
        transport.send(Outgoing(fresh(Durability.REMAKABLE), b"x", "1")).result(5)
    with pytest.raises(Unroutable):
        transport.send(Outgoing(fresh(), b"x", "1")).result(5)


def test_unroutable_and_accepted_sends_are_told_apart_in_one_window(transport: Transport) -> None:
    good, bad = fresh(), fresh()
    transport.declare([good])

    futures = [transport.send(Outgoing(good if n % 3 else bad, b"x", str(n % 7))) for n in range(300)]

    wait(futures, 10)
    assert [future.exception() is None for future in futures] == [n % 3 != 0 for n in range(300)]


def test_declaring_is_idempotent_and_refuses_another_meaning(transport: Transport) -> None:
    route = fresh()
    transport.declare([route, route])
    transport.declare([route])

    with pytest.raises(ConfigInvalid):
        transport.declare([Route(route.name, Durability.REMAKABLE)])

    put(transport, route, b"still works")


def test_a_message_given_back_comes_again_marked(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"x")

    take_one(consumer).retry()

    again = take_one(consumer)
    assert (again.body, again.redelivered) == (b"x", True)
    again.ack()


def test_settling_twice_does_nothing(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    put(transport, route, b"a")
    first = take_one(consumer)

    first.ack()
    first.ack()
    first.retry()
    first.dead_letter("no")

    put(transport, route, b"b")
    assert take_one(consumer).body == b"b"
    assert transport.dead_letters(10) == []


def test_what_a_closed_consumer_left_unsettled_goes_to_another_marked(transport: Transport) -> None:
    route = fresh()
    first = transport.consume([route], prefetch=10)
    put(transport, route, b"acked", b"left")
    taken = take_all(first, 2)
    taken[0].ack()

    first.close()
    taken[1].ack()  # too late: it was given back

    second = transport.consume([route], prefetch=10)
    left = take_one(second)
    assert (left.body, left.redelivered) == (b"left", True)
    left.ack()
    assert second.take(1, SHORT_S) == []


def test_after_the_delivery_limit_a_message_is_a_dead_letter_with_a_reason(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"poison")

    for turn in range(DELIVERY_LIMIT + 1):
        delivery = take_one(consumer)
        assert delivery.redelivered == (turn > 0)
        delivery.retry()

    letter = eventually(lambda: _only(transport))
    assert (letter.body, letter.route, letter.id) == (b"poison", route.name, "poison")
    assert "delivery limit" in letter.reason
    assert consumer.take(1, SHORT_S) == []


@pytest.mark.parametrize("durability", list(Durability))
def test_a_dead_letter_keeps_its_reason_and_can_be_sent_again(transport: Transport, durability: Durability) -> None:
    route = fresh(durability)
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"broken")

    take_one(consumer).dead_letter("cannot be decoded: no v")

    letter = eventually(lambda: _only(transport))
    assert (letter.reason, letter.route, letter.id) == ("cannot be decoded: no v", route.name, "broken")
    assert eventually(lambda: _only(transport)) == letter  # listing removes nothing
    assert transport.redrive(10) == 1
    again = take_one(consumer)
    assert (again.body, again.message_id) == (b"broken", "broken")
    again.ack()
    assert transport.dead_letters(10) == []
    assert transport.redrive(10) == 0


def test_redrive_to_a_route_that_is_gone_keeps_the_dead_letter(transport: Transport) -> None:
    route = fresh(Durability.REMAKABLE, expires_s=1)
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"x")
    take_one(consumer).dead_letter("why")
    eventually(lambda: _only(transport))
    consumer.close()
    eventually(lambda: _is_unroutable(transport, route))

    with pytest.raises(Unroutable):
        transport.redrive(1)

    eventually(lambda: _only(transport))


def test_dead_letters_and_redrive_honour_their_limit(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    put(transport, route, b"1", b"2", b"3")
    for delivery in take_all(consumer, 3):
        delivery.dead_letter("why")
    eventually(lambda: len(transport.dead_letters(10)) == 3)

    assert len(transport.dead_letters(2)) == 2
    assert transport.redrive(2) == 2

    eventually(lambda: len(transport.dead_letters(10)) == 1)


def test_no_more_than_the_prefetch_is_unsettled(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=3)
    put(transport, route, *[str(number).encode() for number in range(10)])

    held = take_all(consumer, 3)
    assert consumer.take(10, SHORT_S) == []

    held[1].ack()
    assert len(take_all(consumer, 1)) == 1
    assert consumer.take(10, SHORT_S) == []


def test_prefetch_counts_per_route(transport: Transport) -> None:
    one, other = fresh(), fresh(Durability.REMAKABLE)
    consumer = transport.consume([one, other], prefetch=1)
    put(transport, one, b"1", b"2")
    put(transport, other, b"3", b"4")

    assert sorted(delivery.body for delivery in take_all(consumer, 2)) == [b"1", b"3"]
    assert consumer.take(10, SHORT_S) == []


def test_take_returns_at_most_the_limit_and_nothing_at_the_timeout(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=100)
    assert consumer.take(5, 0) == []
    put(transport, route, *[str(number).encode() for number in range(7)])

    sizes: list[int] = []
    while sum(sizes) < 7:
        sizes.append(len(consumer.take(5, 1)))
        assert 1 <= sizes[-1] <= 5


@pytest.mark.parametrize("durability", [Durability.SAFE, Durability.REMAKABLE])
def test_nothing_arrives_after_a_pause_even_when_the_unsettled_one_is_settled(
    transport: Transport, durability: Durability
) -> None:
    route = fresh(durability)
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, *[str(number).encode() for number in range(12)])

    for turn in range(6):
        delivery = take_one(consumer)
        assert (delivery.body, delivery.redelivered) == (str(2 * turn).encode(), False)
        consumer.pause()
        delivery.ack()
        assert consumer.take(1, 0.05) == []
        consumer.resume()
        following = take_one(consumer)
        assert (following.body, following.redelivered) == (str(2 * turn + 1).encode(), False)
        following.ack()


@pytest.mark.parametrize("durability", [Durability.SAFE, Durability.REMAKABLE])
def test_resuming_with_a_delivery_in_hand_keeps_to_the_prefetch(transport: Transport, durability: Durability) -> None:
    route = fresh(durability)
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"1", b"2")
    held = take_one(consumer)

    consumer.pause()
    consumer.resume()

    assert consumer.take(1, SHORT_S) == []
    held.ack()
    assert take_one(consumer).body == b"2"


def test_a_route_added_while_paused_stays_silent_until_resumed(transport: Transport) -> None:
    first, added = fresh(), fresh(Durability.REMAKABLE)
    consumer = transport.consume([first], prefetch=5)
    consumer.pause()

    consumer.add_route(added)
    put(transport, added, b"x")

    assert consumer.take(1, SHORT_S) == []
    consumer.resume()
    assert take_one(consumer).body == b"x"


def test_a_route_can_be_added_and_is_declared_by_that(transport: Transport) -> None:
    first, added = fresh(), fresh(Durability.REMAKABLE)
    consumer = transport.consume([first], prefetch=5)

    consumer.add_route(added)
    consumer.add_route(added)
    put(transport, added, b"x")

    delivery = take_one(consumer)
    assert (delivery.body, delivery.route) == (b"x", added)
    delivery.ack()
    assert consumer.take(1, SHORT_S) == []


def test_a_consumer_knows_for_how_long_it_has_been_hearing(transport: Transport) -> None:
    consumer = transport.consume([fresh()], prefetch=1)
    assert eventually(lambda: consumer.connected_for_s) > 0

    before = consumer.connected_for_s
    assert eventually(lambda: consumer.connected_for_s > before)
    consumer.pause()
    assert eventually(lambda: consumer.connected_for_s == 0)
    consumer.resume()
    assert eventually(lambda: consumer.connected_for_s > 0)


def test_two_consumers_share_a_route(transport: Transport) -> None:
    route = fresh()
    one, other = transport.consume([route], prefetch=1), transport.consume([route], prefetch=1)
    put(transport, route, b"1", b"2")

    bodies = [take_one(one).body, take_one(other).body]

    assert sorted(bodies) == [b"1", b"2"]


def test_a_request_is_accepted_and_answered(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=1)

    accepted, answered = transport.request(Outgoing(route, b"question", "1"))

    accepted.result(5)
    delivery = take_one(consumer)
    delivery.reply(b"answer")
    delivery.ack()
    assert answered.result(5) == b"answer"


def test_each_asker_gets_its_own_answer_even_with_one_message_id(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    answers = [transport.request(Outgoing(route, str(number).encode(), "same"))[1] for number in range(5)]

    for delivery in take_all(consumer, 5):
        delivery.reply(b"re " + delivery.body)
        delivery.ack()

    assert [answer.result(5) for answer in answers] == [b"re 0", b"re 1", b"re 2", b"re 3", b"re 4"]


def test_an_abandoned_request_and_a_reply_nobody_asked_for_harm_nobody(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    accepted, answered = transport.request(Outgoing(route, b"question", "1"))
    accepted.result(5)
    assert answered.cancel()
    put(transport, route, b"no question")

    for delivery in take_all(consumer, 2):
        delivery.reply(b"answer")
        delivery.ack()

    _accepted, second = transport.request(Outgoing(route, b"again", "2"))
    delivery = take_one(consumer)
    delivery.reply(b"fine")
    assert second.result(5) == b"fine"


def test_a_request_that_is_unroutable_fails_on_both_futures(transport: Transport) -> None:
    accepted, answered = transport.request(Outgoing(fresh(), b"question", "1"))

    for future in (accepted, answered):
        with pytest.raises(Unroutable):
            future.result(5)


def test_a_broadcast_reaches_every_listener_of_its_topic_and_no_other(transport: Transport) -> None:
    heard: queue.SimpleQueue[tuple[str, str, bytes]] = queue.SimpleQueue()
    transport.listen(["workers", "worker.a"], lambda topic, body: heard.put(("a", topic, body)))
    transport.listen(["workers", "worker.b"], lambda topic, body: heard.put(("b", topic, body)))

    transport.broadcast("workers", b"all")
    transport.broadcast("worker.b", b"only b")
    transport.broadcast("nobody", b"lost")
    transport.broadcast("worker.a", b"only a")

    seen = {heard.get(timeout=5) for _ in range(4)}
    assert seen == {
        ("a", "workers", b"all"),
        ("b", "workers", b"all"),
        ("b", "worker.b", b"only b"),
        ("a", "worker.a", b"only a"),
    }
    assert heard.empty()


def test_a_callback_that_raises_does_not_end_the_listening(transport: Transport) -> None:
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def callback(_topic: str, body: bytes) -> None:
        if body == b"bad":
            msg = "callback"
            raise ValueError(msg)
        heard.put(body)

    transport.listen(["t"], callback)
    transport.broadcast("t", b"bad")
    transport.broadcast("t", b"good")

    assert heard.get(timeout=5) == b"good"


def test_eight_threads_send_and_two_settle_without_loss_or_doubling(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=50)
    seen: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    stop = threading.Event()
    failures: list[BaseException] = []

    def send(sender: int) -> None:
        try:
            put(transport, route, *[f"{sender}/{number}".encode() for number in range(100)])
        except BaseException as error:  # noqa: BLE001 - reported by the assertion below
            failures.append(error)

    def receive() -> None:
        while not stop.is_set():
            for delivery in consumer.take(20, 0.05):
                seen.put(delivery.body)
                delivery.ack()

    receivers = [threading.Thread(target=receive) for _ in range(2)]
    senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in receivers + senders:
        thread.start()
    for thread in senders:
        thread.join()
    try:
        eventually(lambda: seen.qsize() >= 800)
    finally:
        stop.set()
        for thread in receivers:
            thread.join()

    counts = Counter(seen.get() for _ in range(seen.qsize()))
    assert failures == []
    assert len(counts) == 800
    assert set(counts.values()) == {1}


def test_accepted_messages_of_a_safe_route_outlive_the_transport(reopen: Open) -> None:
    route = fresh()
    first = reopen()
    first.declare([route])
    put(first, route, b"1", b"2")
    first.close()

    second = reopen()
    consumer = second.consume([route], prefetch=10)

    for delivery in take_all(consumer, 2):
        delivery.ack()
    third = reopen()
    assert third.consume([route], prefetch=10).take(1, SHORT_S) == []


def test_dead_letters_outlive_the_transport(reopen: Open) -> None:
    route = fresh()
    first = reopen()
    consumer = first.consume([route], prefetch=1)
    put(first, route, b"x")
    take_one(consumer).dead_letter("why")
    eventually(lambda: _only(first))
    first.close()

    second = reopen()

    letter = eventually(lambda: _only(second))
    assert (letter.body, letter.reason) == (b"x", "why")


def test_an_unused_route_expires(transport: Transport) -> None:
    route = fresh(Durability.REMAKABLE, expires_s=1)
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"x")

    consumer.close()

    eventually(lambda: _is_unroutable(transport, route))


def test_after_close_everything_fails_at_once_and_nothing_hangs(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=1)
    _accepted, answered = transport.request(Outgoing(route, b"question", "1"))
    futures = [transport.send(Outgoing(route, b"x", str(number))) for number in range(200)]

    transport.close()
    transport.close()

    assert not wait(futures, 5).not_done
    assert isinstance(answered.exception(5), BrokerUnavailable)
    for future in futures:
        assert isinstance(future.exception(), BrokerUnavailable | PublishUnconfirmed | None)
    assert isinstance(transport.send(Outgoing(route, b"x", "1")).exception(1), BrokerUnavailable)
    assert not transport.healthy
    assert consumer.take(1, 5) == []
    assert consumer.connected_for_s == 0
    transport.broadcast("workers", b"nobody")
    with pytest.raises(BrokerUnavailable):
        transport.declare([route])


def _only(transport: Transport) -> DeadLetter:
    letters = transport.dead_letters(10)
    assert len(letters) == 1, f"{len(letters)} dead letters"
    return letters[0]


def _is_unroutable(transport: Transport, route: Route) -> bool:
    return isinstance(transport.send(Outgoing(route, b"y", "y")).exception(5), Unroutable)
