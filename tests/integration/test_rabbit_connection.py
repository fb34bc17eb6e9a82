"""Connections to a broker that is unreachable or does not answer: their errors, and that no socket is left."""

import gc
import socket
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from pika.adapters.utils import io_services_utils

from shared.errors import ConfigInvalid
from shared.transport.rabbitmq.connection import Connection, parameters
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.harness.eventually import PATIENCE_S, eventually, free_port
from tests.harness.proxy import Proxy
from tests.harness.servers import RabbitServer

Reached = Callable[[], object]


def connection_to(
    port: int, scheme: str = "amqp", on_up: Callable[[object], None] = lambda _connection: None
) -> Connection:
    params = parameters(f"{scheme}://guest:guest@127.0.0.1:{port}/", "test")
    return Connection(params, "test", on_up=on_up, on_down=lambda _error: None)


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_a_broker_that_cannot_be_reached_is_named_with_the_cause(scheme: str) -> None:
    port = free_port()
    params = parameters(f"{scheme}://user:hidden@127.0.0.1:{port}/", "test")
    connection = Connection(params, "test", on_up=lambda _connection: None, on_down=lambda _error: None)
    connection.start()
    try:
        assert connection.tried.wait(PATIENCE_S)
        reason = str(connection.reason)
    finally:
        connection.close()

    assert reason.startswith(f"cannot connect to 127.0.0.1, port {port}: ")
    assert "refused" in reason
    assert "hidden" not in reason


def test_the_hosts_of_a_url_share_its_login_vhost_and_options() -> None:
    found = parameters("amqp://user:p%40ss@one,two:5673,[::1]:5674/my%2Fhost?heartbeat=7", "test")

    assert [(each.host, each.port) for each in found] == [("one", 5672), ("two", 5673), ("::1", 5674)]
    for each in found:
        assert (each.credentials.username, each.credentials.password) == ("user", "p@ss")
        assert (each.virtual_host, each.heartbeat) == ("my/host", 7)


@pytest.mark.parametrize("hosts", ["one,", ",one", "one,,two", "one,two:port"])
def test_a_url_with_a_faulty_list_of_hosts_is_refused(hosts: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"DAGWAY_AMQP_URL cannot be parsed \(ValueError\).*host1:5672,host2:5672"):
        parameters(f"amqp://user:password@{hosts}/", "test")


def test_a_connection_goes_to_another_host_while_one_is_away(rabbit_server: RabbitServer) -> None:
    away = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    with Proxy(rabbit_server.port) as one, Proxy(rabbit_server.port) as other:
        hosts = [*away, f"127.0.0.1:{one.port}", f"127.0.0.1:{other.port}"]
        ups: list[object] = []
        params = parameters(f"amqp://guest:guest@{','.join(hosts)}/", "test")
        connection = Connection(params, "test", on_up=ups.append, on_down=lambda _error: None)
        connection.start()
        try:
            eventually(connection.up.is_set)
            one.cut()
            other.cut()
            eventually(lambda: not connection.up.is_set())
            for reachable, lost in ((one, other), (other, one)):
                ups.clear()
                reachable.mend()
                lost.cut()
                eventually(lambda: len(ups) > 0)
        finally:
            connection.close()


@pytest.mark.parametrize("lost", [False, True])
def test_a_connection_is_made_once_a_thread_can_be_started_again(
    rabbit_server: RabbitServer, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """The address is looked up in a thread. Steps may have used up all that a worker's container may have."""
    start = threading.Thread.start
    refused: list[threading.Thread] = []

    def refuse(thread: threading.Thread) -> None:
        if not isinstance(thread, threading.Timer):
            return start(thread)
        refused.append(thread)
        raise RuntimeError("can't start new thread")

    with Proxy(rabbit_server.port) as proxy, monkeypatch.context() as patch:
        params = parameters(f"amqp://guest:guest@127.0.0.1:{proxy.port}/", "test")
        connection = Connection(params, "test", on_up=lambda _pika: None, on_down=lambda _error: None)
        if not lost:
            patch.setattr(threading.Thread, "start", refuse)
        connection.start()
        try:
            if lost:
                eventually(connection.up.is_set)
                patch.setattr(threading.Thread, "start", refuse)
                proxy.cut()
                proxy.mend()
            eventually(lambda: len(refused) > 1)
            assert "can't start new thread" in str(connection.reason)
            patch.undo()
            eventually(connection.up.is_set)
        finally:
            connection.close()
    eventually(lambda: not connection._thread.is_alive())


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


def unclosed_after(make: Callable[[], Connection], reached: Reached) -> list[str]:
    """Start a connection, close it when ``reached`` returns, and return the warnings about unclosed sockets."""
    gc.collect()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        connection = make()
        connection.start()
        reached()
        connection.close()
        del connection
        gc.collect()
    return [str(each.message) for each in seen]


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_a_connection_closed_while_the_broker_is_silent_leaves_no_socket(
    listener: socket.socket, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:

        def greeted() -> None:
            silent, _ = listener.accept()
            stack.enter_context(silent)
            silent.settimeout(PATIENCE_S)
            assert silent.recv(1)

        assert unclosed_after(lambda: connection_to(listener.getsockname()[1], scheme), greeted) == []
    assert [each.message for each in caplog.records if each.name.startswith("shared.")] == []


def test_a_connection_closed_before_the_broker_accepts_it_leaves_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        # The kernel lets the first ones in, and drops what others send.
        for _ in range(3):
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())

        assert unclosed_after(lambda: connection_to(listener.getsockname()[1]), lambda: None) == []


def test_a_connection_whose_broker_does_not_read_the_goodbye_leaves_no_socket(rabbit_server: RabbitServer) -> None:
    up = threading.Event()
    with Proxy(rabbit_server.port) as proxy:

        def stalled() -> None:
            assert up.wait(PATIENCE_S)
            proxy.stall()

        assert unclosed_after(lambda: connection_to(proxy.port, on_up=lambda _connection: up.set()), stalled) == []


def test_a_broker_that_hangs_up_as_soon_as_it_has_accepted_is_tried_again_without_a_traceback(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that is being stopped."""
    begin, hung_up = io_services_utils._AsyncStreamConnector.__init__, threading.Event()

    def begin_after_reset(self: object, *, sock: socket.socket, **rest: object) -> None:
        if not hung_up.is_set():
            accepted, _ = listener.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()

            def reset() -> None:
                with pytest.raises(OSError, match="not connected"):
                    sock.getpeername()

            eventually(reset)
            hung_up.set()
        begin(self, sock=sock, **rest)

    monkeypatch.setattr(io_services_utils._AsyncStreamConnector, "__init__", begin_after_reset)
    params = parameters(f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}/", "test")
    params[0].stack_timeout = 0.5
    connection = Connection(params, "test", on_up=lambda _connection: None, on_down=lambda _error: None)
    connection.start()
    try:
        assert hung_up.wait(PATIENCE_S)

        def greeted() -> None:
            # On a busy machine, the time to connect may be over before anything is sent.
            again, _ = listener.accept()
            with again:
                assert again.recv(4) == b"AMQP"

        eventually(greeted)
    finally:
        connection.close()

    assert [each.message for each in caplog.records if each.name.startswith("shared.") and each.exc_info] == []


def test_a_transport_whose_broker_is_silent_closes_both_connections_at_once(rabbit_server: RabbitServer) -> None:
    """One after the other, a gateway would take twice as long to end."""
    closing: list[bool] = []
    with Proxy(rabbit_server.port) as proxy:
        transport = RabbitTransport(rabbit_server.url.replace(f":{rabbit_server.port}", f":{proxy.port}"), name="test")
        eventually(transport._connection.up.is_set)
        transport._connection._on_down = lambda _error: closing.append(transport._publisher.connection._to_close)
        proxy.stall()
        transport.close()

    assert closing == [True]
