"""Failures of RabbitMQ: sends fail immediately, consumers recover, no accepted message is lost."""

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager

import pytest

from shared.errors import BrokerUnavailable, PublishUnconfirmed
from shared.ids import new_token
from shared.transport.base import (
    DEAD_LETTERS,
    BrokerQueue,
    Consumer,
    Delivery,
    Durability,
    Exchange,
    Outgoing,
    Transport,
)
from shared.transport.rabbitmq import publisher
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.servers import RabbitServer

QUICK_S = 60.0
"""A send must have failed by then although a confirm is awaited for longer (see ``_no_confirm_is_given_up``)."""


@pytest.fixture
def _no_confirm_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a send fails for another reason than the 10 s that are over soon on a busy machine."""
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT_S", 2 * PATIENCE_S)


@pytest.fixture
def transport(queues_are_awaited: None, amqp_url: str) -> Iterator[RabbitTransport]:
    transport = RabbitTransport(amqp_url, name="faults")
    yield transport
    transport.close()


@pytest.fixture
def route() -> BrokerQueue:
    return BrokerQueue(f"test.{new_token()[:8]}", Durability.SAFE)


def send(transport: Transport, route: BrokerQueue, body: bytes) -> "Future[None]":
    return transport.send(Outgoing(route, body, body.decode()))


def take_one(consumer: Consumer) -> Delivery:
    return eventually(lambda: _first(consumer))


def _first(consumer: Consumer) -> Delivery:
    taken = consumer.take(1, 0.1)
    assert taken, "nothing arrived"
    return taken[0]


@contextmanager
def broker_setting(server: RabbitServer, change: str, restore: str) -> Iterator[None]:
    server.eval(change)
    try:
        yield
    finally:
        server.eval(restore)


def test_sends_fail_at_once_while_the_broker_is_away_and_work_again_after(
    rabbit_server: RabbitServer, transport: RabbitTransport, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=10)
    send(transport, route, b"before").result(PATIENCE_S)
    assert take_one(consumer).body == b"before"  # never settled: it must come back

    rabbit_server.stop()
    eventually(lambda: not transport.healthy)
    took_s = []
    for _ in range(5):
        began = time.monotonic()
        error = send(transport, route, b"lost").exception(PATIENCE_S)
        took_s.append(time.monotonic() - began)
        assert isinstance(error, BrokerUnavailable)
        assert not isinstance(error, PublishUnconfirmed)
    # The fastest, since other work shares the machine.
    assert min(took_s) < 0.1
    # It has a connection of its own.
    eventually(lambda: consumer.connected_for_s == 0)
    with pytest.raises(BrokerUnavailable):
        transport.declare([route])
    with pytest.raises(BrokerUnavailable):
        transport.dead_letters(1)

    rabbit_server.start()
    eventually(lambda: transport.healthy)
    again = take_one(consumer)
    assert (again.body, again.redelivered) == (b"before", True)
    again.ack()
    send(transport, route, b"after").result(PATIENCE_S)
    assert take_one(consumer).body == b"after"
    assert consumer.connected_for_s > 0


def test_a_transport_opened_without_a_broker_works_once_there_is_one(
    rabbit_server: RabbitServer, amqp_url: str, route: BrokerQueue
) -> None:
    rabbit_server.stop()
    transport = RabbitTransport(amqp_url, name="early")
    try:
        heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        consumer = transport.consume([route], prefetch=1)
        transport.listen(["t"], lambda _topic, body: heard.put(body))
        assert not transport.healthy

        rabbit_server.start()
        eventually(lambda: consumer.connected_for_s > 0)
        eventually(lambda: transport.healthy)

        send(transport, route, b"x").result(PATIENCE_S)
        assert take_one(consumer).body == b"x"
        eventually(lambda: _broadcast_heard(transport, heard))
    finally:
        transport.close()


def _broadcast_heard(transport: Transport, heard: "queue.SimpleQueue[bytes]") -> bool:
    transport.broadcast("t", b"hello")
    return not heard.empty()


def test_nothing_accepted_is_lost_when_the_broker_is_killed_under_load(
    rabbit_server: RabbitServer, transport: RabbitTransport, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=100)
    accepted: set[bytes] = set()
    wrong: list[BaseException] = []
    slowest_s = 0.0
    stop, outage = threading.Event(), threading.Event()

    def sender(name: int) -> None:
        nonlocal slowest_s
        number = 0
        while not stop.is_set():
            batch = [f"{name}/{number + offset}".encode() for offset in range(20)]
            number += 20
            began = time.monotonic()
            futures = [send(transport, route, body) for body in batch]
            wait(futures, PATIENCE_S)
            slowest_s = max(slowest_s, time.monotonic() - began)
            for body, future in zip(batch, futures, strict=True):
                error = future.exception(0)
                if error is None:
                    accepted.add(body)
                elif isinstance(error, BrokerUnavailable):
                    outage.set()
                else:
                    wrong.append(error)
            if outage.is_set() and not transport.healthy:
                stop.wait(0.01)

    threads = [threading.Thread(target=sender, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(accepted) > 300)
        rabbit_server.kill()
        eventually(outage.is_set)
        before = len(accepted)
        rabbit_server.start()
        eventually(lambda: len(accepted) > before + 300)
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    received: set[bytes] = set()

    def drained() -> bool:
        for delivery in consumer.take(500, 0.1):
            received.add(delivery.body)
            delivery.ack()
        return accepted <= received

    eventually(drained)
    assert wrong == []
    assert slowest_s < PATIENCE_S, "a confirm is awaited for 10 s, and on a busy machine for longer"


@pytest.mark.usefixtures("_no_confirm_is_given_up")
def test_a_blocking_broker_makes_sends_fail_soon_and_heals(
    rabbit_server: RabbitServer, transport: RabbitTransport, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=10)
    send(transport, route, b"before").result(PATIENCE_S)
    rabbit_server.limit_memory("{absolute, 1}")
    try:
        failures = eventually(lambda: _failed(transport, route))
        assert isinstance(failures, BrokerUnavailable)
        assert not transport.healthy
        error = send(transport, route, b"refused").exception(QUICK_S)
        assert isinstance(error, BrokerUnavailable)
        assert not isinstance(error, PublishUnconfirmed)
        with pytest.raises(BrokerUnavailable):
            transport.declare([route])
        take_one(consumer).ack()  # consuming goes on
    finally:
        rabbit_server.limit_memory("0.6")
    eventually(lambda: transport.healthy)
    send(transport, route, b"after").result(PATIENCE_S)


def _failed(transport: Transport, route: BrokerQueue) -> BaseException:
    error = send(transport, route, b"probe").exception(QUICK_S)
    assert error is not None
    return error


def test_a_consumer_hears_again_after_the_broker_closed_its_channel(
    rabbit_server: RabbitServer, transport: RabbitTransport, route: BrokerQueue
) -> None:
    setting = (
        "[application:set_env(rabbit, Key, Value) || "
        "{{Key, Value}} <- [{{channel_tick_interval, {}}}, {{consumer_timeout, {}}}]], ok."
    )
    with broker_setting(rabbit_server, setting.format(300, 1_500), setting.format(60_000, 1_800_000)):
        consumer = transport.consume([route], prefetch=1)
        send(transport, route, b"held too long").result(PATIENCE_S)
        held = take_one(consumer)

        again = take_one(consumer)
        held.ack()  # of a channel that is gone: does nothing
        again.ack()

    assert (again.body, again.redelivered) == (b"held too long", True)
    send(transport, route, b"next").result(PATIENCE_S)
    # Its new channel may be closed in the same way before the broker hears of the ack: then the message comes again.
    eventually(lambda: _next_body(consumer) == b"next")


def _next_body(consumer: Consumer) -> bytes:
    delivery = take_one(consumer)
    delivery.ack()
    return delivery.body


def test_a_consumer_hears_again_after_its_queue_was_deleted(
    rabbit_server: RabbitServer, transport: RabbitTransport, amqp_url: str, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=1)

    rabbit_server.delete_queue(amqp_url, route.name)

    eventually(lambda: send(transport, route, b"x").exception(PATIENCE_S) is None)
    assert take_one(consumer).body == b"x"


def test_a_paused_consumer_stays_paused_across_a_reconnect(
    rabbit_server: RabbitServer, transport: RabbitTransport, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=1)
    consumer.pause()
    send(transport, route, b"x").result(PATIENCE_S)

    rabbit_server.close_connections()
    eventually(lambda: send(transport, route, b"y").exception(PATIENCE_S) is None)

    assert consumer.take(1, 0.5) == []
    consumer.resume()
    # The broker may have sent it before the pause reached it, so it may count as redelivered.
    assert take_one(consumer).body == b"x"


def test_acks_that_waited_while_the_connection_was_lost_are_as_if_never_given(
    rabbit_server: RabbitServer, transport: RabbitTransport, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=10, acks_wait_s=60)
    send(transport, route, b"1").result(PATIENCE_S)
    take_one(consumer).ack()

    rabbit_server.close_connections()

    again = take_one(consumer)
    assert (again.body, again.redelivered) == (b"1", True)


def test_a_question_whose_connection_is_lost_is_not_awaited_for_ever(
    rabbit_server: RabbitServer, transport: RabbitTransport, route: BrokerQueue
) -> None:
    transport.declare([route])
    asked = transport.request(Outgoing(route, b"question", "1"))
    asked.accepted(PATIENCE_S)

    rabbit_server.close_connections()

    with pytest.raises(BrokerUnavailable):
        asked.reply(PATIENCE_S)


@pytest.mark.usefixtures("_no_confirm_is_given_up")
def test_a_dead_letter_waits_unsettled_until_its_copy_is_safe(
    rabbit_server: RabbitServer, transport: RabbitTransport, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=1)
    send(transport, route, b"bad").result(PATIENCE_S)
    delivery = take_one(consumer)
    rabbit_server.limit_memory("{absolute, 1}")
    try:
        eventually(lambda: _failed(transport, route))

        delivery.dead_letter("unreadable")
    finally:
        rabbit_server.limit_memory("0.6")

    letters = eventually(lambda: _letters(transport))
    assert letters == ["unreadable"]


def test_the_queue_of_dead_letters_is_made_again_when_it_was_deleted(
    rabbit_server: RabbitServer, amqp_url: str, transport: RabbitTransport, route: BrokerQueue
) -> None:
    consumer = transport.consume([route], prefetch=1)
    rabbit_server.delete_queue(amqp_url, DEAD_LETTERS.name)
    send(transport, route, b"bad").result(PATIENCE_S)
    take_one(consumer).dead_letter("unreadable")

    # As the loop of a scheduler asks.
    eventually(lambda: transport.waiting(DEAD_LETTERS) == 1)

    assert _letters(transport) == ["unreadable"]


def _letters(transport: Transport) -> list[str]:
    try:
        reasons = [letter.reason for letter in transport.dead_letters(10)]
    except BrokerUnavailable:
        reasons = []  # the alarm is not over yet
    assert reasons
    return reasons


def test_nothing_is_consumed_while_the_broker_keeps_an_older_session(amqp_url: str, route: BrokerQueue) -> None:
    heartbeats = BrokerQueue(f"test.{new_token()[:8]}", Durability.TRANSIENT, exchange=Exchange.REPORTS)
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    old = RabbitTransport(amqp_url, name="old")
    new = RabbitTransport(amqp_url, name="new")
    try:
        old.tap(heartbeats, f"{route.name}.tap", lambda _body: None)
        old_consumer = old.consume([route], prefetch=10)
        send(old, route, b"held").result(60)
        assert take_one(old_consumer).body == b"held"

        tap = new.tap(heartbeats, f"{route.name}.tap", heard.put)
        consumer = new.consume([route], prefetch=10)
        send(new, route, b"waits").result(60)

        assert tap.session == 0
        assert consumer.take(1, 0) == []
        old.close()
        assert {take_one(consumer).body, take_one(consumer).body} == {b"held", b"waits"}
        assert tap.session == 1
        send(new, heartbeats, b"beat").result(60)
        assert heard.get(timeout=60) == b"beat"
    finally:
        old.close()
        new.close()


def test_a_tap_whose_queue_was_deleted_begins_a_new_session(
    rabbit_server: RabbitServer, transport: RabbitTransport, amqp_url: str, route: BrokerQueue
) -> None:
    heartbeats = BrokerQueue(f"test.{new_token()[:8]}", Durability.TRANSIENT, exchange=Exchange.REPORTS)
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    tap = transport.tap(heartbeats, f"{route.name}.tap", heard.put)
    consumer = transport.consume([route], prefetch=10)
    rabbit_server.delete_queue(amqp_url, f"{route.name}.tap")

    eventually(lambda: tap.session >= 2)
    send(transport, heartbeats, b"beat").result(60)
    assert heard.get(timeout=60) == b"beat"
    eventually(lambda: send(transport, route, b"x").exception(PATIENCE_S) is None)
    assert take_one(consumer).body == b"x"
