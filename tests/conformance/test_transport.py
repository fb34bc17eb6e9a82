"""The guarantees of ``shared.transport.base`` for sending and consuming, tested on both transports."""

from concurrent.futures import wait

import pytest

from shared.errors import ConfigInvalid, Unroutable
from shared.transport.base import DELIVERY_LIMIT, BrokerQueue, Durability, Exchange, Outgoing, Transport
from tests.conformance.transport_moves import (
    SHORT_S,
    fresh,
    give_back,
    is_unroutable,
    only_letter,
    put,
    take_all,
    take_one,
)
from tests.harness.eventually import PATIENCE_S, eventually


@pytest.mark.parametrize("durability", list(Durability))
def test_a_message_arrives_once_as_it_was_sent(transport: Transport, durability: Durability) -> None:
    route = fresh(durability)
    consumer = transport.consume([route], prefetch=10)

    transport.send(Outgoing(route, b"\x00body\xff", "id-1")).result(PATIENCE_S)

    delivery = take_one(consumer)
    assert (delivery.body, delivery.message_id) == (b"\x00body\xff", "id-1")
    assert (delivery.redelivered, delivery.queue) == (False, route)
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
        transport.send(Outgoing(fresh(Durability.REPRODUCIBLE), b"x", "1")).result(PATIENCE_S)
    with pytest.raises(Unroutable):
        transport.send(Outgoing(fresh(), b"x", "1")).result(PATIENCE_S)


def test_reports_go_through_an_exchange_to_the_queue_of_their_name(transport: Transport) -> None:
    reports = [fresh(durability, exchange=Exchange.REPORTS) for durability in Durability]
    assert all(is_unroutable(transport, route) for route in reports)
    consumers = [transport.consume([route], prefetch=10) for route in reports]
    transport.declare(reports)

    for route in reports:
        put(transport, route, route.name.encode())

    for route, consumer in zip(reports, consumers, strict=True):
        delivery = take_one(consumer)
        assert (delivery.body, delivery.queue) == (route.name.encode(), route)
        delivery.dead_letter("why")
    eventually(lambda: len(transport.dead_letters(10)) == len(reports))
    assert give_back(transport, 10) == len(reports)
    for route, consumer in zip(reports, consumers, strict=True):
        assert take_one(consumer).body == route.name.encode()
        assert consumer.take(1, 0) == []


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
        transport.declare([BrokerQueue(route.name, Durability.REPRODUCIBLE)])

    put(transport, route, b"still works")


def test_a_message_given_back_comes_again_marked(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"x")

    take_one(consumer).retry()

    again = take_one(consumer)
    assert (again.body, again.redelivered) == (b"x", True)
    again.ack()


def test_a_reproducible_message_may_be_given_back_any_number_of_times(transport: Transport) -> None:
    route = fresh(Durability.REPRODUCIBLE)
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"x")

    for turn in range(2 * DELIVERY_LIMIT):
        delivery = take_one(consumer)
        assert (delivery.body, delivery.redelivered) == (b"x", turn > 0)
        delivery.retry()

    take_one(consumer).ack()
    assert transport.dead_letters(10) == []


@pytest.mark.parametrize("durability", [Durability.SAFE, Durability.REPRODUCIBLE])
def test_a_paused_consumer_does_not_get_back_what_it_gives_back(transport: Transport, durability: Durability) -> None:
    route = fresh(durability)
    paused = transport.consume([route], prefetch=1)
    put(transport, route, b"x")
    delivery = take_one(paused)

    paused.pause()
    delivery.retry()

    assert paused.take(1, SHORT_S) == []
    again = take_one(transport.consume([route], prefetch=1))
    assert (again.body, again.redelivered) == (b"x", True)
    again.ack()


def test_a_consumer_holds_a_message_until_it_is_settled_or_the_consumer_ends(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    put(transport, route, b"1", b"2")
    first, second = take_all(consumer, 2)
    assert [first.held, second.held] == [True, True]
    first.ack()
    assert [first.held, second.held] == [False, True]

    consumer.close()

    assert [first.held, second.held] == [False, False]


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

    letter = eventually(lambda: only_letter(transport))
    assert (letter.body, letter.queue, letter.id) == (b"poison", route.name, "poison")
    assert "delivery limit" in letter.reason
    assert consumer.take(1, SHORT_S) == []


@pytest.mark.parametrize("durability", list(Durability))
def test_a_dead_letter_keeps_its_reason_and_can_be_sent_again(
    transport: Transport, kind: str, durability: Durability
) -> None:
    route = fresh(durability)
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"broken")

    take_one(consumer).dead_letter("cannot be decoded: no v")

    letter = eventually(lambda: only_letter(transport))
    moved_by_the_broker = kind == "rabbitmq" and durability is Durability.REPRODUCIBLE
    reason = "rejected by a worker" if moved_by_the_broker else "cannot be decoded: no v"
    assert (letter.reason, letter.queue, letter.id) == (reason, route.name, "broken")
    assert eventually(lambda: only_letter(transport)) == letter  # listing removes nothing
    assert give_back(transport, 10) == 1
    again = take_one(consumer)
    assert (again.body, again.message_id) == (b"broken", "broken")
    again.ack()
    assert transport.dead_letters(10) == []
    assert give_back(transport, 10) == 0


def test_listing_and_returning_dead_letters_honour_their_limit(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    put(transport, route, b"1", b"2", b"3")
    for delivery in take_all(consumer, 3):
        delivery.dead_letter("why")
    eventually(lambda: len(transport.dead_letters(10)) == 3)

    assert len(transport.dead_letters(2)) == 2
    assert give_back(transport, 2) == 2

    eventually(lambda: len(transport.dead_letters(10)) == 1)


def test_acks_that_wait_for_others_hold_nothing_up_and_are_told_before_the_end(transport: Transport) -> None:
    route = fresh()
    bodies = [str(number).encode() for number in range(11)]
    consumer = transport.consume([route], prefetch=4, acks_wait_s=60)
    put(transport, route, *bodies)

    for body in bodies:
        delivery = take_one(consumer)
        assert delivery.body == body
        delivery.ack()
    consumer.close()

    assert transport.consume([route], prefetch=4).take(1, SHORT_S) == []


def test_no_more_than_the_prefetch_is_unsettled(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=3)
    put(transport, route, *[str(number).encode() for number in range(10)])

    held = take_all(consumer, 3)
    assert consumer.take(10, SHORT_S) == []

    held[1].ack()
    assert len(take_all(consumer, 1)) == 1
    assert consumer.take(10, SHORT_S) == []


@pytest.mark.parametrize("durability", list(Durability))
def test_what_waits_on_a_route_is_counted_without_what_is_in_hand(transport: Transport, durability: Durability) -> None:
    route = fresh(durability)
    assert transport.waiting(route) == 0, "there is none"
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"1", b"2", b"3")

    held = take_one(consumer)

    eventually(lambda: transport.waiting(route) == 2)
    consumer.close()
    eventually(lambda: transport.waiting(route) == 3)
    held.ack()
    assert transport.waiting(route) == 3


def test_prefetch_counts_per_route(transport: Transport) -> None:
    one, other = fresh(), fresh(Durability.REPRODUCIBLE)
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
        sizes.append(len(consumer.take(5, 60)))
        assert 1 <= sizes[-1] <= 5


@pytest.mark.parametrize("durability", [Durability.SAFE, Durability.REPRODUCIBLE])
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


@pytest.mark.parametrize("durability", [Durability.SAFE, Durability.REPRODUCIBLE])
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
    first, added = fresh(), fresh(Durability.REPRODUCIBLE)
    consumer = transport.consume([first], prefetch=5)
    consumer.pause()

    consumer.add_queue(added)
    put(transport, added, b"x")

    assert consumer.take(1, SHORT_S) == []
    consumer.resume()
    assert take_one(consumer).body == b"x"


def test_a_route_can_be_added_and_is_declared_by_that(transport: Transport) -> None:
    first, added = fresh(), fresh(Durability.REPRODUCIBLE)
    consumer = transport.consume([first], prefetch=5)

    consumer.add_queue(added)
    consumer.add_queue(added)
    put(transport, added, b"x")

    delivery = take_one(consumer)
    assert (delivery.body, delivery.queue) == (b"x", added)
    delivery.ack()
    assert consumer.take(1, SHORT_S) == []


def test_a_consumer_knows_for_how_long_it_has_been_hearing(transport: Transport) -> None:
    consumer = transport.consume([fresh()], prefetch=1)
    eventually(lambda: consumer.connected_for_s > 0)

    before = consumer.connected_for_s
    assert eventually(lambda: consumer.connected_for_s > before)
    consumer.pause()
    assert eventually(lambda: consumer.connected_for_s == 0)
    consumer.resume()
    assert eventually(lambda: consumer.connected_for_s > 0)


def test_a_closed_consumer_may_still_be_paused_and_resumed(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=1)

    # Another thread may not know yet that it is closed.
    consumer.close()
    consumer.resume()
    consumer.pause()

    put(transport, route, b"x")
    assert take_one(transport.consume([route], prefetch=1)).body == b"x"
