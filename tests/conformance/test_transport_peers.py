"""The guarantees of ``shared.transport.base`` for several clients at once, over restarts and after close."""

import queue
import threading
import time
from collections import Counter
from concurrent.futures import wait
from dataclasses import replace

import pytest

from shared.errors import BrokerUnavailable, PublishUnconfirmed, Unroutable
from shared.ids import new_token
from shared.transport.base import HEARD, Durability, Exchange, Outgoing, Transport, tap_address
from tests.conformance.transport_moves import SHORT_S, Open, fresh, is_unroutable, only_letter, put, take_all, take_one
from tests.harness.eventually import PATIENCE_S, eventually


def test_two_consumers_share_a_route(transport: Transport) -> None:
    route = fresh()
    one, other = transport.consume([route], prefetch=1), transport.consume([route], prefetch=1)
    put(transport, route, b"1", b"2")

    bodies = [take_one(one).body, take_one(other).body]

    assert sorted(bodies) == [b"1", b"2"]


def test_a_request_is_accepted_and_answered(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=1)

    asked = transport.request(Outgoing(route, b"question", "1"))

    asked.accepted(PATIENCE_S)
    delivery = take_one(consumer)
    delivery.reply(b"answer")
    delivery.ack()
    assert asked.reply(PATIENCE_S) == b"answer"


def test_each_asker_gets_its_own_answer_even_with_one_message_id(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    asked = [transport.request(Outgoing(route, str(number).encode(), "same")) for number in range(5)]

    for delivery in take_all(consumer, 5):
        delivery.reply(b"re " + delivery.body)
        delivery.ack()

    assert [each.reply(PATIENCE_S) for each in asked] == [b"re 0", b"re 1", b"re 2", b"re 3", b"re 4"]


def test_many_replies_in_a_row_arrive_whole(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=100)
    bodies = [str(number).encode() * number for number in range(60)]
    asked = [transport.request(Outgoing(route, body, "same")) for body in bodies]

    for delivery in take_all(consumer, len(bodies)):
        delivery.reply(delivery.body)
        delivery.ack()

    assert [each.reply(PATIENCE_S) for each in asked] == bodies


def test_an_abandoned_request_and_a_reply_nobody_asked_for_harm_nobody(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    abandoned = transport.request(Outgoing(route, b"question", "1"))
    abandoned.accepted(PATIENCE_S)
    with pytest.raises(TimeoutError):
        abandoned.reply(0)
    put(transport, route, b"no question")

    for delivery in take_all(consumer, 2):
        delivery.reply(b"answer")
        delivery.ack()

    second = transport.request(Outgoing(route, b"again", "2"))
    delivery = take_one(consumer)
    delivery.reply(b"fine")
    assert second.reply(PATIENCE_S) == b"fine"


def test_a_request_that_is_unroutable_is_neither_accepted_nor_answered(transport: Transport) -> None:
    asked = transport.request(Outgoing(fresh(), b"question", "1"))

    for wait_for in (asked.accepted, asked.reply):
        with pytest.raises(Unroutable):
            wait_for(60)


def test_a_broadcast_reaches_every_listener_of_its_topic_and_no_other(transport: Transport) -> None:
    heard: queue.SimpleQueue[tuple[str, str, bytes]] = queue.SimpleQueue()
    transport.listen(["workers", "worker.a"], lambda topic, body: heard.put(("a", topic, body)))
    transport.listen(["workers", "worker.b"], lambda topic, body: heard.put(("b", topic, body)))

    transport.broadcast("workers", b"all")
    transport.broadcast("worker.b", b"only b")
    transport.broadcast("nobody", b"lost")
    transport.broadcast("worker.a", b"only a")

    seen = {heard.get(timeout=60) for _ in range(4)}
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

    assert heard.get(timeout=60) == b"good"


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
    eventually(lambda: only_letter(first))
    first.close()

    second = reopen()

    letter = eventually(lambda: only_letter(second))
    assert (letter.body, letter.reason) == (b"x", "why")


def test_an_unused_route_expires(transport: Transport) -> None:
    route = fresh(Durability.REPRODUCIBLE, expires_s=1)
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"x")

    consumer.close()

    eventually(lambda: is_unroutable(transport, route))


def test_after_close_everything_fails_at_once_and_nothing_hangs(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=1)
    asked = transport.request(Outgoing(route, b"question", "1"))
    futures = [transport.send(Outgoing(route, b"x", str(number))) for number in range(200)]

    transport.close()
    transport.close()

    assert not wait(futures, 60).not_done
    with pytest.raises(BrokerUnavailable):
        asked.reply(PATIENCE_S)
    for future in futures:
        assert isinstance(future.exception(), BrokerUnavailable | PublishUnconfirmed | None)
    assert isinstance(transport.send(Outgoing(route, b"x", "1")).exception(1), BrokerUnavailable)
    assert not transport.healthy
    assert consumer.take(1, 5) == []
    assert consumer.connected_for_s == 0
    transport.broadcast("workers", b"nobody")
    with pytest.raises(BrokerUnavailable):
        transport.declare([route])


def test_each_tap_hears_every_message_in_order_beside_the_consumers(transport: Transport) -> None:
    route = fresh(Durability.TRANSIENT, exchange=Exchange.REPORTS)
    heard: tuple[queue.SimpleQueue[bytes], queue.SimpleQueue[bytes]] = (queue.SimpleQueue(), queue.SimpleQueue())
    for each in heard:
        tap = transport.tap(route, f"test.tap.{new_token()[:8]}", each.put)
        assert tap.session == 1
    put(transport, route, b"nobody consumes")
    consumer = transport.consume([route], prefetch=10)
    put(transport, route, b"1", b"2", b"3")

    assert [delivery.body for delivery in take_all(consumer, 3)] == [b"1", b"2", b"3"]
    for each in heard:
        assert [each.get(timeout=60) for _ in range(4)] == [b"nobody consumes", b"1", b"2", b"3"]


def test_a_tap_alone_receives_what_is_sent_to_its_own_address_in_order_with_the_copies(transport: Transport) -> None:
    route = fresh(Durability.TRANSIENT, exchange=Exchange.REPORTS)
    names = [f"{HEARD}{new_token()[:8]}" for _ in range(2)]
    heard: tuple[queue.SimpleQueue[bytes], queue.SimpleQueue[bytes]] = (queue.SimpleQueue(), queue.SimpleQueue())
    for name, each in zip(names, heard, strict=True):
        transport.tap(route, name, each.put)
    consumer = transport.consume([route], prefetch=10)

    put(transport, route, b"1")
    put(transport, tap_address(route, names[0]), b"only for the first")
    put(transport, route, b"2")

    assert [delivery.body for delivery in take_all(consumer, 2)] == [b"1", b"2"]
    assert [heard[0].get(timeout=60) for _ in range(3)] == [b"1", b"only for the first", b"2"]
    assert [heard[1].get(timeout=60) for _ in range(2)] == [b"1", b"2"]
    assert (consumer.take(1, 0), heard[1].empty()) == ([], True)


def test_a_tap_whose_callback_raises_goes_on(transport: Transport) -> None:
    route = fresh(Durability.TRANSIENT, exchange=Exchange.REPORTS)
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def callback(body: bytes) -> None:
        if body == b"bad":
            raise ValueError("callback")
        heard.put(body)

    transport.tap(route, f"test.tap.{new_token()[:8]}", callback)
    put(transport, route, b"bad", b"good")

    assert heard.get(timeout=60) == b"good"


def test_the_queue_of_a_tap_exists_as_long_as_its_session(reopen: Open) -> None:
    name = f"test.tap.{new_token()[:8]}"
    first = reopen()
    first.tap(fresh(Durability.TRANSIENT, exchange=Exchange.REPORTS), name, lambda _body: None)
    assert first.exists(name)

    first.close()

    second = reopen()
    eventually(lambda: not second.exists(name))
    with pytest.raises(BrokerUnavailable):
        first.exists(name)


def test_deliveries_know_when_they_arrived_in_the_order_in_which_they_are_taken(transport: Transport) -> None:
    route = fresh()
    before_s = time.monotonic()
    consumer = transport.consume([route], prefetch=10)
    put(transport, route, b"1", b"2", b"3")

    arrived = [delivery.arrived_s for delivery in take_all(consumer, 3)]

    times = [before_s, *arrived, time.monotonic()]
    assert times == sorted(times)


@pytest.mark.parametrize("batched", [True, False])
def test_a_message_that_its_sender_sends_again_comes_marked(transport: Transport, batched: bool) -> None:
    route = replace(fresh(), batched=batched)
    consumer = transport.consume([route], prefetch=10)
    sent = [transport.send(Outgoing(route, b"x", f"id-{number}", again=number == 1)) for number in range(3)]
    for each in sent:
        each.result(60)

    taken = take_all(consumer, 3)

    assert {delivery.message_id: delivery.redelivered for delivery in taken} == {
        "id-0": False,
        "id-1": True,
        "id-2": False,
    }
    for delivery in taken:
        delivery.ack()
