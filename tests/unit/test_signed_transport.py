"""The transport that signs and verifies, on the in-process transport."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared.clock import utc_now
from shared.contracts.codec import encode
from shared.contracts.control import CHANGES, RunsChanged, StopAttempt
from shared.contracts.events import Heartbeat
from shared.contracts.markers import Marker
from shared.errors import InvariantBroken, Refusal, SignatureRefused
from shared.transport.base import (
    AUDIT,
    COMMANDS,
    EVENT_SHARDS,
    EVENTS,
    HEARTBEATS,
    LOGS,
    BrokerQueue,
    Delivery,
    Durability,
    Outgoing,
    Transport,
    task_queue,
    worker_queue,
)
from shared.transport.heartbeat_order import HeartbeatOrder
from shared.transport.open import open_transport
from shared.transport.signed import check_reporter
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.message_examples import example_of
from tests.harness.signing import POOL_KEYS, signed_as

BODY = encode(StopAttempt(token="t"), id="one", at=utc_now())


@pytest.fixture
def broker() -> Iterator[Transport]:
    transport = open_transport("embedded:", name="test")
    transport.declare([COMMANDS, EVENTS, HEARTBEATS, task_queue({})])
    yield transport
    transport.close()


def arrived(receiver: Transport, queue: BrokerQueue) -> Delivery:
    consumer = receiver.consume([queue], prefetch=10)
    (delivery,) = consumer.take(1, PATIENCE_S)
    delivery.ack()
    consumer.close()
    return delivery


def heartbeat(worker_id: str) -> Heartbeat:
    beat = example_of(Heartbeat, {"worker_id": worker_id})
    assert isinstance(beat, Heartbeat)
    return beat


def hear(sender: Transport, receiver: Transport, worker_id: str) -> None:
    beat = heartbeat(worker_id)
    sender.send(Outgoing(HEARTBEATS, encode(beat, id="b", at=beat.at), "b")).result(PATIENCE_S)
    delivery = arrived(receiver, HEARTBEATS)
    assert delivery.body
    check_reporter(delivery, beat)


def why(receiver: Transport, queue: BrokerQueue) -> Refusal:
    with pytest.raises(SignatureRefused) as refused:
        _ = arrived(receiver, queue).body
    return refused.value.why


def test_a_reply_is_accepted_from_a_scheduler_and_for_its_own_command_only(broker: Transport) -> None:
    gateway, scheduler = signed_as("api", broker), signed_as("scheduler", broker)

    def ask(answer: Transport, as_id: str = "") -> bytes:
        pending = gateway.request(Outgoing(COMMANDS, BODY, "one"))
        delivery = arrived(answer, COMMANDS)
        assert delivery.body
        delivery.reply(BODY)
        return pending.reply(2)

    assert ask(scheduler).startswith(BODY[:-1])
    with pytest.raises(TimeoutError, match="no signature"):
        ask(broker)
    first = gateway.request(Outgoing(COMMANDS, BODY, "one"))
    arrived(scheduler, COMMANDS).reply(BODY)
    old = first.reply(2)
    second = gateway.request(Outgoing(COMMANDS, BODY, "two"))
    arrived(broker, COMMANDS).reply(old)
    with pytest.raises(TimeoutError, match="is wrong"):
        second.reply(2)
    assert gateway.counts.snapshot()[0]["replies", "bad_signature"] == 1


SENDERS = {
    COMMANDS: "api",
    AUDIT: "api",
    EVENTS: "worker",
    EVENT_SHARDS[0]: "worker",
    LOGS: "worker",
    HEARTBEATS: "worker",
    task_queue({}): "scheduler",
    worker_queue("w1"): "scheduler",
}


@pytest.mark.parametrize("service", ["api", "scheduler", "worker"])
def test_no_service_sends_what_it_cannot_sign(broker: Transport, service: str) -> None:
    sender = signed_as(service, broker)
    broker.declare(list(SENDERS))
    for queue, signer in SENDERS.items():
        if signer == service:
            sender.send(Outgoing(queue, BODY, "one")).result(60)
            assert b'"sig":"' in arrived(broker, queue).body
        else:
            with pytest.raises(InvariantBroken, match="must not send it unsigned"):
                sender.send(Outgoing(queue, BODY, "one"))
            assert broker.waiting(queue) == 0


def test_a_worker_sends_no_reply_that_it_cannot_sign(broker: Transport) -> None:
    scheduler, worker = signed_as("scheduler", broker), signed_as("worker", broker)
    scheduler.request(Outgoing(task_queue({}), BODY, "one"))

    with pytest.raises(InvariantBroken, match="must not send it unsigned"):
        arrived(worker, task_queue({})).reply(BODY)


def test_the_id_of_a_message_is_signed_too(broker: Transport) -> None:
    gateway, scheduler = signed_as("api", broker), signed_as("scheduler", broker)
    gateway.send(Outgoing(COMMANDS, BODY, "one")).result(PATIENCE_S)
    signed = arrived(broker, COMMANDS).body

    broker.send(Outgoing(COMMANDS, signed, "two")).result(PATIENCE_S)

    assert why(scheduler, COMMANDS) is Refusal.BAD_SIGNATURE


def test_a_pool_reports_for_its_own_workers_only(broker: Transport) -> None:
    scheduler, default = signed_as("scheduler", broker), signed_as("worker", broker)
    gpu = signed_as(
        "worker",
        broker,
        DAGWAY_REPORT_KEYS=POOL_KEYS["gpu"],
        DAGWAY_WORKER_POOL="gpu",
        DAGWAY_WORKER_ID="gpu-1",
    )

    hear(default, scheduler, "w1")
    hear(gpu, scheduler, "gpu-1")
    for sender, worker_id in ((default, "gpu-1"), (gpu, "w1"), (gpu, "gpux")):
        with pytest.raises(SignatureRefused) as refused:
            hear(sender, scheduler, worker_id)
        assert refused.value.why is Refusal.FOREIGN_WORKER
    assert scheduler.counts.snapshot()[0]["heartbeats", "foreign_worker"] == 3


def test_each_heartbeat_is_heard_once(broker: Transport) -> None:
    scheduler, worker = signed_as("scheduler", broker), signed_as("worker", broker)
    beat = heartbeat("w1")
    sent = []
    for _ in range(2):
        worker.send(Outgoing(HEARTBEATS, encode(beat, id="b", at=beat.at), "b")).result(PATIENCE_S)
        sent.append(arrived(broker, HEARTBEATS).body)

    tapped: list[bytes] = []
    scheduler.tap(HEARTBEATS, "dagway.heard.s1", tapped.append)

    def replayed() -> int:
        return scheduler.counts.snapshot()[0]["heartbeats", "replayed"]

    first, second = sent
    for number, body in enumerate((first, first, second, first, second), start=1):
        broker.send(Outgoing(HEARTBEATS, body, "b")).result(PATIENCE_S)
        eventually(lambda number=number: len(tapped) + replayed() == number)  # type: ignore[misc]
        # The tap has heard it, or a later one, so the shared queue brings nothing new.
        delivery = arrived(scheduler, HEARTBEATS)
        assert delivery.body
        with pytest.raises(SignatureRefused) as refused:
            check_reporter(delivery, beat)
        assert refused.value.why is Refusal.REPLAYED
    assert (tapped, replayed()) == ([first, second], 3)


def test_only_a_scheduler_sends_markers(broker: Transport) -> None:
    scheduler, worker = signed_as("scheduler", broker), signed_as("worker", broker)
    marker = Marker(scheduler="s1", number=1)
    sent = Outgoing(EVENTS, encode(marker, id="m", at=utc_now()), "m")

    scheduler.send(sent).result(PATIENCE_S)
    delivery = arrived(scheduler, EVENTS)
    assert delivery.body
    check_reporter(delivery, marker)

    worker.send(sent).result(PATIENCE_S)
    delivery = arrived(scheduler, EVENTS)
    assert delivery.body
    with pytest.raises(SignatureRefused) as refused:
        check_reporter(delivery, marker)
    assert refused.value.why is Refusal.WRONG_PURPOSE


def test_control_messages_are_heard_from_schedulers_only(broker: Transport) -> None:
    scheduler, worker, gateway = (signed_as(service, broker) for service in ("scheduler", "worker", "api"))
    heard: list[str] = []
    worker.listen(["workers"], lambda topic, _body: heard.append(topic))
    gateway.listen([CHANGES], lambda topic, _body: heard.append(topic))
    changes = encode(RunsChanged(), id="c", at=utc_now())

    for topic, body in (("workers", BODY), (CHANGES, changes)):
        broker.broadcast(topic, body)
        for sender in (worker, gateway):
            with pytest.raises(InvariantBroken, match="must not send it unsigned"):
                sender.broadcast(topic, body)
    scheduler.broadcast("workers", BODY)
    scheduler.broadcast(CHANGES, changes)

    eventually(lambda: sorted(heard) == [CHANGES, "workers"])
    assert [each.counts.snapshot()[0]["control", "unsigned"] for each in (worker, gateway)] == [1, 1]


def test_unsigned_messages_are_accepted_and_counted_if_so_set(broker: Transport) -> None:
    gateway, other = signed_as("api", broker), signed_as("api", broker, DAGWAY_COMMAND_KEYS=f"1={'x' * 40}")
    scheduler = signed_as("scheduler", broker, DAGWAY_MESSAGE_SIGNING="accept-unsigned")

    for sender in (broker, gateway):
        sender.send(Outgoing(COMMANDS, BODY, "one")).result(PATIENCE_S)
        assert arrived(scheduler, COMMANDS).body
    other.send(Outgoing(COMMANDS, BODY, "one")).result(PATIENCE_S)

    assert why(scheduler, COMMANDS) is Refusal.BAD_SIGNATURE
    refused, unsigned = scheduler.counts.snapshot()
    assert unsigned["commands"] == 1
    assert {key: count for key, count in refused.items() if count} == {("commands", "bad_signature"): 1}


def test_a_flood_of_forgeries_is_counted_but_not_logged(broker: Transport, caplog: pytest.LogCaptureFixture) -> None:
    scheduler = signed_as("scheduler", broker)
    for _ in range(50):
        broker.send(Outgoing(COMMANDS, BODY, "one")).result(PATIENCE_S)
    consumer = scheduler.consume([COMMANDS], prefetch=100)

    with caplog.at_level(logging.ERROR):
        for _ in range(50):
            (delivery,) = consumer.take(1, PATIENCE_S)
            with pytest.raises(SignatureRefused):
                _ = delivery.body

    assert scheduler.counts.snapshot()[0]["commands", "unsigned"] == 50
    assert [record.message for record in caplog.records] == ["message.refused"]
    consumer.close()


def test_a_queue_without_a_signer_is_an_error(broker: Transport) -> None:
    scheduler = signed_as("scheduler", broker)

    with pytest.raises(InvariantBroken, match="nobody says who signs"):
        scheduler.send(Outgoing(BrokerQueue("dagway.new", Durability.SAFE), BODY, "one"))


def test_a_worker_is_heard_again_when_its_clock_is_right_again() -> None:
    """Schedulers refused what it signed with a clock that was ahead by more than a day."""
    now = utc_now()
    order = HeartbeatOrder()
    assert order.next(now) == now
    assert order.next(now + timedelta(days=2)) == now + timedelta(days=2)

    assert order.next(now) == now

    ahead = now + timedelta(hours=23)
    assert order.next(ahead) == ahead
    assert order.next(now) > ahead, "a scheduler has accepted that, and accepts nothing earlier"
