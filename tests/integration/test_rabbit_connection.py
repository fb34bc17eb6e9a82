"""What a link says of a broker that it cannot reach."""

import pytest

from shared.transport.rabbitmq.connection import Connection, parameters
from tests.harness.eventually import free_port


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_a_broker_that_cannot_be_reached_is_named_with_the_cause(scheme: str) -> None:
    port = free_port()
    params = parameters(f"{scheme}://user:hidden@127.0.0.1:{port}/", "test")
    link = Connection(params, "test", on_up=lambda _connection: None, on_down=lambda _error: None)
    link.start()
    try:
        assert link.tried.wait(10)
        said = str(link.reason)
    finally:
        link.close()

    assert said.startswith(f"cannot connect to 127.0.0.1, port {port}: ")
    assert "refused" in said
    assert "hidden" not in said
