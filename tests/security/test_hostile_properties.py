"""What a stolen login of the broker can write into the properties of a message, which no signature covers."""

import struct
from collections.abc import Iterator

import pika
import pytest

from shared.errors import BrokerUnavailable
from shared.transport.base import DEAD_LETTERS, EVENTS, DeadLetter, DeadLetterDecision, Delivery, Transport
from shared.transport.open import open_transport
from shared.transport.rabbitmq.batches import BATCH, BatchItem, pack
from shared.transport.topology import HEADER_DURABILITY, HEADER_QUEUE, HEADER_REASON
from tests.harness.broker_users import BrokerUsers
from tests.harness.eventually import eventually


class _Raw(pika.BasicProperties):  # type: ignore[misc]
    """Properties that pika would not write."""

    def __init__(self, flags: int, encoded: bytes) -> None:
        super().__init__()
        self._encoded = struct.pack(">H", flags) + encoded

    def encode(self) -> list[bytes]:
        return [self._encoded]


def _header(value: bytes) -> bytes:
    entry = b"\x01x" + value
    return struct.pack(">I", len(entry)) + entry


def _deep(levels: int) -> bytes:
    value = b"V"
    for _ in range(levels):
        value = b"F" + _header(value)
    return value


_UNREADABLE = {
    "a time after the year 9999": _Raw(pika.BasicProperties.FLAG_HEADERS, _header(b"T" + struct.pack(">Q", 2**62))),
    "a deep table": _Raw(pika.BasicProperties.FLAG_HEADERS, _header(_deep(3_000))),
    "an id that is not UTF-8": _Raw(pika.BasicProperties.FLAG_MESSAGE_ID, b"\x02\xff\xfe"),
    "another property that is not UTF-8": _Raw(
        pika.BasicProperties.FLAG_CORRELATION_ID | pika.BasicProperties.FLAG_MESSAGE_ID, b"\x02\xff\xfe\x01m"
    ),
}
_LONG_IDS = pack([BatchItem("i" * 256, "", b"{}"), BatchItem("m", "c" * 256, b"{}")])


class _Scene:
    """The transport of a scheduler, and the broker login of a worker."""

    def __init__(self, broker: BrokerUsers) -> None:
        vhost = broker.another_vhost("scheduler", "worker-default")
        self.scheduler: Transport = open_transport(broker.url("scheduler", vhost), name="scheduler")
        eventually(self._declared)
        self._url = broker.url("worker-default", vhost)

    def _declared(self) -> None:
        try:
            self.scheduler.declare([EVENTS])
        except BrokerUnavailable as busy:
            raise AssertionError(str(busy)) from busy

    def sends(self, properties: pika.BasicProperties, body: bytes = b"{}") -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(EVENTS.exchange, EVENTS.name, body, properties, mandatory=True)

    def dead(self) -> list[DeadLetter]:
        eventually(self._waits)
        return self.scheduler.dead_letters(10)

    def _waits(self) -> None:
        assert self.scheduler.waiting(DEAD_LETTERS)


@pytest.fixture
def scene(broker: BrokerUsers) -> Iterator[_Scene]:
    scene = _Scene(broker)
    yield scene
    scene.scheduler.close()


def _received(scene: _Scene) -> Delivery:
    """Return the first message of the queue, as a dead letter."""
    intake = scene.scheduler.consume([EVENTS], prefetch=10)

    def one() -> Delivery:
        found = intake.take(1, 1)
        assert found
        return found[0]

    delivery = eventually(one)
    delivery.dead_letter("refused")
    return delivery


@pytest.mark.parametrize("what", _UNREADABLE)
def test_properties_that_cannot_be_read_are_dropped(scene: _Scene, what: str) -> None:
    scene.sends(_UNREADABLE[what])

    delivery = _received(scene)

    assert (delivery.body, delivery.message_id) == (b"{}", "")
    assert scene.dead() == [DeadLetter("", EVENTS.name, b"{}", "refused")]


def test_a_batch_with_an_id_that_no_message_can_have_is_one_message(scene: _Scene) -> None:
    scene.sends(pika.BasicProperties(content_type=BATCH, message_id="m"), _LONG_IDS)

    delivery = _received(scene)

    assert (delivery.body, delivery.message_id) == (_LONG_IDS, "m")
    assert scene.dead() == [DeadLetter("m", EVENTS.name, _LONG_IDS, "refused")]


@pytest.mark.parametrize("durability", ["safe", "no such"])
def test_the_sender_does_not_say_where_a_dead_letter_comes_from(scene: _Scene, durability: str) -> None:
    forged: dict[str, object] = {
        HEADER_QUEUE: "dagway.commands",
        HEADER_DURABILITY: durability,
        HEADER_REASON: "forged",
        "x-death": [{"queue": "dagway.commands", "reason": "forged"}],
    }
    scene.sends(pika.BasicProperties(message_id="m", expiration="1", headers=forged))

    assert scene.dead() == [DeadLetter("m", EVENTS.name, b"{}", "by the broker: expired")]
    # An administrator can return it: it goes to the queue to which its sender sent it, and no further.
    scene.scheduler.settle_dead_letters(lambda _letter: DeadLetterDecision.RETURN, 10)
    assert _received(scene).message_id == "m"
