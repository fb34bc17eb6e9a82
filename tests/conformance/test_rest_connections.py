"""How the HTTP server of ``dagway up`` makes room for new connections: which ones it ends, and what it says of it."""

import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.eventually import PATIENCE_S, eventually, free_port

SERVER = """
    import logging, signal, sys, threading

    from services.api.serving.server import EmbeddedServer

    may_end = threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            may_end.wait()
        if environ["PATH_INFO"] == "/end-slow":
            may_end.set()
        start_response("200 OK", [("Content-Length", "5")])
        return [b"short"]

    logging.basicConfig(level=logging.INFO)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    server = EmbeddedServer(app, "127.0.0.1", int(sys.argv[1]), connections=50)
    server.start()
    signal.sigwait([signal.SIGTERM])
    server.stop()
"""


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


class Server:
    """A server with room for 50 connections. From 30 on it ends one for each new one."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path, links: ExitStack) -> None:
        self.process, self.log = process, log
        self._port, self._links = port, links

    def connect(self) -> socket.socket:
        return self._links.enter_context(socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S))

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S) as link:
                return is_answered(link)
        except ConnectionError:
            return False


def is_answered(link: socket.socket, path: str = "/short") -> bool:
    link.sendall(request(path))
    return has_answer(link)


def has_answer(link: socket.socket) -> bool:
    received = b""
    while not received.endswith(b"short"):
        piece = link.recv(1000)
        if not piece:
            return False
        received += piece
    return received.startswith(b"HTTP/1.1 200")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    port, log = free_port(), tmp_path / "log"
    argv = [sys.executable, "-c", textwrap.dedent(SERVER), str(port)]
    with log.open("wb") as file, subprocess.Popen(argv, stdout=file, stderr=file) as process, ExitStack() as links:
        try:
            running = Server(process, port, log, links)
            eventually(running.answers)
            yield running
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


def test_many_new_connections_at_once_take_none_of_the_spare_ones(server: Server) -> None:
    for _ in range(300):
        server.connect()
    assert server.answers()
    assert "connection limit" not in server.log.read_text()


def test_a_connection_on_which_a_request_has_arrived_is_not_ended_for_a_new_one(server: Server) -> None:
    longest = server.connect()
    assert is_answered(longest)
    for _ in range(28):
        server.connect()
    assert is_answered(server.connect())  # the server has accepted all 30

    # Both arrive while the server does something else.
    server.process.send_signal(signal.SIGSTOP)
    longest.sendall(request("/short"))
    server.connect()
    server.process.send_signal(signal.SIGCONT)

    assert has_answer(longest)


def test_a_connection_whose_answer_took_long_has_not_waited_meanwhile(server: Server) -> None:
    slow = server.connect()
    slow.sendall(request("/slow"))
    assert is_answered(server.connect())  # the server has read the slow request
    for _ in range(27):
        server.connect()
    assert is_answered(server.connect(), "/end-slow")
    assert has_answer(slow)

    assert is_answered(server.connect())
    assert is_answered(slow)
