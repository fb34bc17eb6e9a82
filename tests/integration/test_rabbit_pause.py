"""A pause while a message is on its way to the consumer: it arrives once, not marked as redelivered."""

import pytest

from shared.ids import new_token
from shared.transport.base import BrokerQueue, Durability
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.conformance.transport_moves import put, take_all
from tests.harness.eventually import eventually
from tests.harness.proxy import Proxy
from tests.harness.servers import RabbitServer


@pytest.mark.usefixtures("queues_are_awaited")
@pytest.mark.parametrize("resumed", [False, True])
def test_what_was_delivered_before_the_broker_heard_of_a_pause_arrives_once(
    rabbit_server: RabbitServer, *, resumed: bool
) -> None:
    queue = BrokerQueue(f"test.{new_token()[:8]}", Durability.SAFE)
    beside = RabbitTransport(rabbit_server.url, name="beside")
    with Proxy(rabbit_server.port) as proxy:
        transport = RabbitTransport(rabbit_server.url.replace(f":{rabbit_server.port}", f":{proxy.port}"), name="test")
        try:
            consumer = transport.consume([queue], prefetch=1)
            proxy.stall()
            put(beside, queue, b"1", b"2")
            eventually(lambda: beside.waiting(queue) == 1)
            consumer.pause()
            if resumed:
                consumer.resume()
            proxy.mend()
            (first,) = take_all(consumer, 1)
            first.ack()
            after = (
                [(each.body, each.redelivered) for each in take_all(consumer, 1)] if resumed else consumer.take(1, 0.5)
            )
        finally:
            transport.close()
            beside.close()

    assert (first.body, first.redelivered) == (b"1", False)
    assert after == ([(b"2", False)] if resumed else [])
