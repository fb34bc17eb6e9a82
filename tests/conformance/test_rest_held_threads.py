"""Clients that hold threads of ``dagway up`` for long, of every kind at once, leave some for others."""

import http.client
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3

from services.api.operations import Call
from services.api.run_details.wait_for_end import place_to_wait
from services.api.serving.held_threads import MOST_FOLLOWERS, MOST_SLOW_READERS
from services.api.serving.waitress_server import EmbeddedServer
from shared.contracts.commands import StartRun
from tests.conformance.rest_stack import NOW, open_stack
from tests.harness.eventually import PATIENCE_S, eventually

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Application:
    """The gateway, an endless answer at ``/long``, and ``/short``, answered once ``at_once`` requests ask together."""

    def __init__(self, gateway: "WSGIApplication", at_once: int) -> None:
        self._gateway = gateway
        self._barrier = threading.Barrier(at_once)
        self.given_up = threading.Semaphore(0)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/long":
                start_response("200 OK", [("Content-Type", "text/plain")])
                return self._long()
            case "/short":
                self._barrier.wait(PATIENCE_S)
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [b"short"]
        return self._gateway(environ, start_response)

    def _long(self) -> Iterator[bytes]:
        try:
            while True:
                yield bytes(1024 * 1024)
        finally:
            self.given_up.release()


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_streams_waits_and_slow_readers_together_leave_all_threads_for_short_requests(
    tmp_path: Path, threads: int
) -> None:
    with open_stack(tmp_path) as stack, ExitStack() as links:
        app = Application(stack.app, threads)
        server = EmbeddedServer(app, "127.0.0.1", 0, threads=threads, stall_s=3600)
        server.start()
        links.callback(server.stop)

        def ask(path: str) -> http.client.HTTPResponse:
            link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
            links.callback(link.close)
            link.request("GET", path)
            return link.getresponse()

        def place() -> AbstractContextManager[object]:
            return place_to_wait(Call(stack.deps, NOW, None), StartRun(file_name="a", dag_run_id="r"))

        # A request that waits for a run takes the place of a stream.
        with place() as waits:
            assert waits is not None
            streams = [ask("/api/v2/events") for _ in range(MOST_FOLLOWERS - 1)]
            assert ask("/api/v2/events").status == 503
        streams.append(ask("/api/v2/events"))
        assert [stream.status for stream in streams] == [200] * MOST_FOLLOWERS
        with place() as waits:
            assert waits is None
        slow = MOST_SLOW_READERS + 6
        for _ in range(slow):
            ask("/long")  # nobody reads the body
        for _ in range(slow - MOST_SLOW_READERS):
            assert app.given_up.acquire(timeout=PATIENCE_S)

        with ThreadPoolExecutor(threads) as clients:
            answers = list(clients.map(ask, ["/short"] * threads))
        assert [answer.read() for answer in answers] == [b"short"] * threads


class Counts:
    """Answers requests once ``go`` is set. ``most`` is how many were inside together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, _environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        self.begun.release()
        self.go.wait(PATIENCE_S)
        with self._lock:
            self._inside -= 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"short"]


def test_the_threads_for_those_who_wait_compute_no_more_requests_at_once() -> None:
    app, threads, clients = Counts(), 2, 12
    server = EmbeddedServer(app, "127.0.0.1", 0, threads=threads)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}/short"
        with ThreadPoolExecutor(clients) as pool:
            answers = [pool.submit(urllib3.request, "GET", url, timeout=PATIENCE_S) for _ in range(clients)]
            for _ in range(threads):
                assert app.begun.acquire(timeout=PATIENCE_S)
            app.go.set()
            assert [answer.result().data for answer in answers] == [b"short"] * clients
    finally:
        server.stop()
    assert app.most == threads


def test_connections_that_were_all_busy_make_room_when_they_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.serving.waitress_server._CHANNEL_TIMEOUT_S", 3600)
    go = threading.Event()

    def app(_environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        go.wait(PATIENCE_S)
        start_response("200 OK", [("Content-Length", "5")])
        return [b"short"]

    server = EmbeddedServer(app, "127.0.0.1", 0, connections=50)
    server.start()
    try:
        with ExitStack() as links:
            for _ in range(50):
                link = links.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                link.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            eventually(lambda: server._server.in_connection_overflow)
            go.set()

            late = links.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S))
            late.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert late.recv(12) == b"HTTP/1.1 200"
    finally:
        server.stop()
