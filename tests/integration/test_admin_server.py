"""The admin server of a process answers its probes whatever other clients do."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event, Thread

import pytest
from prometheus_client import Metric
from prometheus_client.registry import Collector

from shared.admin_server import AdminServer
from tests.harness.client import ask_probe
from tests.harness.eventually import PATIENCE_S, eventually


class Stuck(Collector):
    """A collector whose database does not answer."""

    def __init__(self) -> None:
        self.asked, self.answers = Event(), Event()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        self.asked.set()
        self.answers.wait(PATIENCE_S)
        return iter(())


@pytest.fixture
def server() -> Iterator[AdminServer]:
    running = AdminServer("127.0.0.1", 0, lambda: "")
    running.start()
    yield running
    running.stop()


def probe(server: AdminServer) -> tuple[int, str]:
    return ask_probe(f"http://127.0.0.1:{server.port}/healthz")


def test_silent_connections_delay_no_probe(server: AdminServer) -> None:
    """More connections than the server keeps open: the newest is always served."""
    took_s = []
    for _ in range(3):
        with ExitStack() as held:
            for _ in range(60):
                held.enter_context(socket.create_connection(("127.0.0.1", server.port)))

            began = time.monotonic()
            assert probe(server) == (200, "ok\n")
            took_s.append(time.monotonic() - began)
    # The fastest, since other work shares the machine.
    assert min(took_s) < 4, "it waited for a timeout"


def test_a_request_that_comes_byte_by_byte_is_cut_off(server: AdminServer) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: ")
        slow.setblocking(False)  # with a timeout, the first look would wait for the end

        def ended() -> bool:
            try:
                slow.sendall(b"x")
                return slow.recv(1) == b""
            except BlockingIOError:
                return False
            except ConnectionError:
                return True

        eventually(ended, every_s=0.2)
        assert time.monotonic() - began > 4
    assert probe(server) == (200, "ok\n")


def test_a_scrape_that_hangs_delays_no_probe(server: AdminServer) -> None:
    stuck = Stuck()
    server.add(stuck)
    scrape = Thread(target=ask_probe, args=(f"http://127.0.0.1:{server.port}/metrics",))
    scrape.start()
    try:
        assert stuck.asked.wait(PATIENCE_S)
        assert probe(server) == (200, "ok\n")
    finally:
        stuck.answers.set()
        scrape.join()
