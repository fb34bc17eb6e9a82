"""The broker over TLS: small messages, and large ones that exceed the socket's buffer, arrive whole and in order."""

from pathlib import Path
from urllib.parse import quote

import pytest

from shared.ids import new_token
from shared.transport.base import BrokerQueue, Durability, Outgoing
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.conformance.transport_moves import take_all
from tests.harness.counterparts import certificate
from tests.harness.eventually import PATIENCE_S, eventually, free_port
from tests.harness.needs import need
from tests.harness.servers import RabbitServer

LARGE = 3 * 1024 * 1024


@pytest.fixture
def route() -> BrokerQueue:
    return BrokerQueue(f"test.{new_token()[:8]}", Durability.SAFE, batched=True)


def test_small_and_large_messages_and_replies_arrive_over_tls(tmp_path: Path, route: BrokerQueue) -> None:
    need("rabbitmq")
    cert, key = certificate(tmp_path)
    Path(key).chmod(0o644)
    port = free_port()
    conf = (
        f"listeners.ssl.1 = 127.0.0.1:{port}\n"
        f"ssl_options.cacertfile = {cert}\nssl_options.certfile = {cert}\nssl_options.keyfile = {key}\n"
    )
    options = quote(str({"cafile": cert, "server_hostname": "localhost"}))
    bodies = [b"%d" % n for n in range(20)] + [b"x" * LARGE, b"after"]
    with RabbitServer(conf=conf):
        transport = RabbitTransport(f"amqps://guest:guest@localhost:{port}/%2F?ssl_options={options}", name="tls")
        try:
            eventually(lambda: transport.healthy)
            consumer = transport.consume([route], prefetch=50)
            # A new broker on a busy machine may take longer for its first queue than the call waits.
            eventually(lambda: consumer.connected_for_s > 0)
            asked = [transport.request(Outgoing(route, body, str(n))) for n, body in enumerate(bodies)]
            taken = take_all(consumer, len(bodies))
            for delivery in taken:
                delivery.reply(delivery.body[::-1])
                delivery.ack()
            answers = [each.reply(PATIENCE_S) for each in asked]
        finally:
            transport.close()

    assert [delivery.body for delivery in taken] == bodies
    assert answers == [body[::-1] for body in bodies]
