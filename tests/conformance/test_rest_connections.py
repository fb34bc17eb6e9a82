"""How both HTTP servers make room for new connections: which ones they end, and what they say of it."""

import resource
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.api.serving.waitress_server import EmbeddedServer
from tests.harness.eventually import PATIENCE_S, eventually, free_port

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SERVER = """
    import logging, signal, sys, threading

    from services.api.serving.waitress_server import EmbeddedServer

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
    """A server in a process of its own. That of ``SERVER`` has room for 50 connections, and keeps 20 of them free."""

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


@contextmanager
def running(script: str, folder: Path) -> Iterator[Server]:
    port, log = free_port(), folder / "log"
    argv = [sys.executable, "-c", textwrap.dedent(script), str(port)]
    with log.open("wb") as file, subprocess.Popen(argv, stdout=file, stderr=file) as process, ExitStack() as links:
        try:
            server = Server(process, port, log, links)
            eventually(server.answers)
            yield server
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(SERVER, tmp_path) as opened:
        yield opened


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


BUSY = """
    import sys
    from threading import Event

    from services.api.serving.greenlets import become_green

    become_green()
    from services.api.serving.gevent_worker import GreenWorker

    GreenWorker._close_idle = lambda worker: None  # it would end connections that are silent for 15 s
    busy, all_are_busy = [], Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            busy.append(environ)
            print(len(busy), flush=True)
            if len(busy) == 1000:
                all_are_busy.set()
            all_are_busy.wait()
        start_response("200 OK", [("Content-Length", "5")])
        return [b"short"]

    from services.api.serving.gunicorn_server import run_gunicorn

    run_gunicorn(lambda: app, "127.0.0.1", int(sys.argv[1]), threads=1000)
"""


def test_connections_of_a_gateway_that_all_were_busy_make_room_as_soon_as_they_wait(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        with running(BUSY, tmp_path) as server:
            busy = []
            for number in range(1, 1001):  # as many as a gateway serves
                busy.append(link := server.connect())
                link.sendall(request("/slow"))
                # One that begins to wait for its request at one of the last 20 places ends another that still does.
                if number >= 980:
                    eventually(lambda number=number: f"{number}\n" in server.log.read_text())  # type: ignore[misc]
            for link in busy:
                assert has_answer(link)

            assert server.answers()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_all(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    start_response("200 OK", [])
    return [str(len(environ["wsgi.input"].read())).encode()]


def test_bodies_that_are_too_large_together_end_the_one_that_has_been_arriving_for_longest() -> None:
    server = EmbeddedServer(read_all, "127.0.0.1", 0, held_bytes=1_000_000)
    server.start()
    sizes = (400_000, 300_000, 400_000)
    try:
        with ExitStack() as links:
            clients = [
                links.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S))
                for _ in sizes
            ]
            for client, size in zip(clients, sizes, strict=True):
                client.sendall(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % (size + 1))
                client.sendall(bytes(size))

            assert clients[0].recv(1) == b""
            for client, size in zip(clients[1:], sizes[1:], strict=True):
                client.sendall(b"!")
                assert client.makefile("rb").read().endswith(b"\r\n\r\n%d" % (size + 1))
    finally:
        server.stop()
