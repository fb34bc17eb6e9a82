"""What is written to the broker, beside what pika would have written."""

from typing import Any

import pika
import pytest
from pika.connection import Connection
from pika.spec import Basic

from shared.transport.rabbitmq.frames import publish


class Written:
    """A channel whose connection keeps what it is to send."""

    is_open, channel_number = True, 3
    _output_marshaled_frames = Connection._output_marshaled_frames
    _send_message = Connection._send_message
    _body_max_length = 4096 - 8

    def __init__(self) -> None:
        self.connection: Any = self
        self.params = pika.ConnectionParameters(frame_max=4096)
        self.frames: list[bytes] = []
        self.bytes_sent = self.frames_sent = 0

    def _adapter_emit_data(self, data: bytes) -> None:
        self.frames.append(data)

    def basic_publish(self, exchange: str, key: str, body: bytes, properties: Any, mandatory: bool = False) -> None:
        method = Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory)
        self._send_message(self.channel_number, method, (properties, body))


@pytest.mark.parametrize("size", [0, 1, 900, 4096 - 8, 4096 - 7, 20_000])
@pytest.mark.parametrize(("exchange", "key", "mandatory"), [("", "dagway.tasks", True), ("dagway.control", "é", False)])
def test_the_bytes_are_those_of_pika(size: int, exchange: str, key: str, *, mandatory: bool) -> None:
    properties = pika.BasicProperties(message_id="m", reply_to="amq.rabbitmq.reply-to", delivery_mode=2)
    ours, theirs = Written(), Written()

    for body in (b"x" * size, b"y" * size):
        publish(ours, exchange, key, body, properties, mandatory=mandatory)
        theirs.basic_publish(exchange, key, body, properties, mandatory=mandatory)

    assert b"".join(ours.frames) == b"".join(theirs.frames)
    assert ours.bytes_sent == theirs.bytes_sent
