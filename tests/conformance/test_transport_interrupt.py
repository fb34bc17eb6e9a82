"""A consumer's wait for a message can be ended, on each transport."""

from concurrent.futures import ThreadPoolExecutor, wait

from shared.transport.base import Transport
from tests.conformance.transport_moves import SHORT_S, fresh, put, take_one

_FOREVER_S = 3_600.0
"""Longer than a test may take."""


def test_an_interrupt_ends_one_wait_whether_it_comes_before_or_during_it(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=100)

    consumer.interrupt()
    assert consumer.take(5, _FOREVER_S) == []
    with ThreadPoolExecutor(1) as pool:
        try:
            waiting = pool.submit(consumer.take, 5, _FOREVER_S)
            assert not wait([waiting], SHORT_S).done, "the first interrupt has ended its wait"
            consumer.interrupt()
            assert waiting.result(60) == []
            put(transport, route, b"1")
            assert take_one(consumer).body == b"1"
        finally:
            consumer.close()
