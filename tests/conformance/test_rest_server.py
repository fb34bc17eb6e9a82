"""The gateway's application on both of its HTTP servers: raw paths, limits, empty bodies and a fast stop."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dagway.client import AsyncClient, Client
from dagway.client.errors import ConnectionFailed
from services.api.serving.held_threads import MOST_SLOW_READERS
from services.api.serving.waitress_server import EmbeddedServer
from services.cli.errors import GatewayUnreachable
from services.cli.remote.gateway import Gateway, ServerConnection
from shared.errors import ConfigInvalid
from tests.conformance.hostile_requests import HOSTILE_REQUESTS, INNOCENT
from tests.conformance.rest_stack import Stack
from tests.harness.client import send_raw
from tests.harness.event_loops import run_coroutine
from tests.harness.eventually import PATIENCE_S, eventually, free_port

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@pytest.fixture
def server(stack: Stack) -> Iterator[EmbeddedServer]:
    running = EmbeddedServer(stack.app, "127.0.0.1", 0, threads=4)
    running.start()
    yield running
    running.stop()


def ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, {} if body is None else {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


def test_waitress_serves_names_with_slashes_and_empty_bodies(stack: Stack, server: EmbeddedServer) -> None:
    status, headers, body = ask(server.port, "PATCH", "/api/v2/dag-runs/a/r/steps/x%2Fy/status", '{"status": 4}')

    assert (status, headers["Content-Length"], body) == (200, "0", b"")
    assert stack.command.step_name == "x/y"


def test_waitress_takes_letters_that_should_be_escaped(stack: Stack, server: EmbeddedServer) -> None:
    url = "/api/v2/dag-runs/a/r/steps/ü%2Fb/status?remoteNode=local&note=ü"
    head = f"PATCH {url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\nConnection: close\r\n\r\n"

    assert send_raw(server.port, (head + '{"status": 4}').encode()).startswith("HTTP/1.1 200")
    assert stack.command.step_name == "ü/b"


def test_waitress_sends_the_head_and_the_body_of_an_answer_together(server: EmbeddedServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as client:
        for _ in range(50):
            client.sendall(get(b"/api/v2/dag-runs"))
            head, _, body = client.recv(65536).partition(b"\r\n\r\n")

            assert head.startswith(b"HTTP/1.1 200 ")
            assert json.loads(body)["dagRuns"] == []


def test_waitress_lets_the_application_refuse_a_large_body(server: EmbeddedServer) -> None:
    status, _, body = ask(server.port, "POST", "/api/v2/dags", json.dumps({"name": "a", "spec": "x" * 2_110_000}))

    assert (status, json.loads(body)["code"]) == (413, "bad_request")


def test_waitress_stops_at_once_with_open_connections(stack: Stack) -> None:
    server = EmbeddedServer(stack.app, "127.0.0.1", 0)
    server.start()
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
    assert ask(server.port, "GET", "/healthz")[0] == 200

    server.stop()

    assert not any(thread.name == "api-server" for thread in threading.enumerate())
    for connection in idle:
        connection.close()


def test_waitress_tells_the_application_what_proxies_say() -> None:
    seen: list[str] = []

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        seen.extend(environ.get(f"HTTP_X_FORWARDED_{name}", "") for name in ("PROTO", "FOR"))
        start_response("204 No Content", [])
        return []

    server = EmbeddedServer(application, "127.0.0.1", 0, threads=1)
    server.start()
    try:
        head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        send_raw(server.port, head + b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
    finally:
        server.stop()

    assert seen == ["https", "203.0.113.9"]


def test_slow_clients_do_not_block_others(server: EmbeddedServer) -> None:
    with ExitStack() as stack:
        for _ in range(150):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            slow.sendall(b"POST /api/v2/dags HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{")

        assert ask(server.port, "GET", "/healthz")[0] == 200


def test_connections_that_wait_for_a_request_make_room_for_others(stack: Stack) -> None:
    server = EmbeddedServer(stack.app, "127.0.0.1", 0, connections=50)
    server.start()
    try:
        with ExitStack() as links:
            silent = [
                links.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S))
                for _ in range(100)
            ]
            began_s = time.monotonic()
            assert ask(server.port, "GET", "/healthz")[0] == 200
            assert time.monotonic() - began_s < 40, "only when some had been silent for a minute"
            assert silent[0].recv(1) == b""
            silent[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
            assert silent[-1].recv(15) == b"HTTP/1.1 200 OK"
    finally:
        server.stop()


class LongAnswers:
    """An application whose answer at ``/long`` has more than any buffer, and is short at any other path."""

    def __init__(self) -> None:
        self.given_up = threading.Semaphore(0)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] != "/long":
            yield b"short"
            return
        try:
            while True:
                yield bytes(1024 * 1024)
        finally:
            self.given_up.release()


def ask_and_read_nothing(stack: ExitStack, port: int) -> None:
    link = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    link.sendall(b"GET /long HTTP/1.1\r\nHost: here\r\n\r\n")


def test_clients_that_take_no_answer_leave_threads_for_others() -> None:
    app, threads, clients = LongAnswers(), 1, MOST_SLOW_READERS + 6
    server = EmbeddedServer(app, "127.0.0.1", 0, threads=threads, stall_s=3600)  # only their number ends them
    server.start()
    try:
        with ExitStack() as links:
            for _ in range(clients):
                ask_and_read_nothing(links, server.port)

            assert ask(server.port, "GET", "/short")[2] == b"short"
            for _ in range(clients - MOST_SLOW_READERS):
                assert app.given_up.acquire(timeout=PATIENCE_S)
            assert not app.given_up.acquire(blocking=False), "these may wait for slow clients"
    finally:
        server.stop()


def test_a_client_that_takes_no_answer_is_given_up_after_a_while() -> None:
    app = LongAnswers()
    server = EmbeddedServer(app, "127.0.0.1", 0, stall_s=0.5)
    server.start()
    try:
        with ExitStack() as links:
            ask_and_read_nothing(links, server.port)

            assert app.given_up.acquire(timeout=PATIENCE_S)
    finally:
        server.stop()


def test_a_server_that_ends_by_itself_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    died = threading.Event()
    server = EmbeddedServer(LongAnswers(), "127.0.0.1", 0, on_death=died.set)
    monkeypatch.setattr(server._server, "run", lambda: 1 // 0)
    server.start()
    try:
        assert died.wait(PATIENCE_S)
    finally:
        server.stop()


def test_a_taken_port_is_an_error_at_once(stack: Stack, server: EmbeddedServer) -> None:
    with pytest.raises(ConfigInvalid, match="[Aa]ddress already in use"):
        EmbeddedServer(stack.app, "127.0.0.1", server.port)


def get(path: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: localhost", *headers, b"", b""))


TWO_LENGTHS = (
    b"POST /api/v2/dags HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get(b"/healthz")
)
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
OLD_CHUNKED = b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + get(b"/healthz")
WAITRESS_LIMITS = {
    "two lengths": (TWO_LENGTHS, 400),
    "two lengths in an old request": (TWO_LENGTHS.replace(b"HTTP/1.1", b"HTTP/1.0", 1), 400),
    "chunks in an old request": (OLD_CHUNKED, 400),
    "URL": (get(b"/healthz?" + b"x" * 32 * 1024), 431),
    "header": (get(b"/healthz", b"X-Long: " + b"x" * 32 * 1024), 431),
    "line before a chunk": (CHUNKED + b"1;" + b"x" * 32 * 1024, 400),
    "trailer": (CHUNKED + b"0\r\nX-Long: " + b"x" * 32 * 1024, 400),
}
GUNICORN_LIMITS = {
    "two lengths": (TWO_LENGTHS, 400),
    "chunks in an old request": (OLD_CHUNKED, 400),
    "URL": (get(b"/healthz?" + b"x" * 4096), 414),
    "header": (get(b"/healthz", b"X-Long: " + b"x" * 8192), 431),
    "headers": (get(b"/healthz", *(b"X-%d: x" % number for number in range(101))), 431),
}
"""Requests over the limits of docs/operations/limits.md, and the status of the refusal."""


def assert_refused(port: int, request: bytes, status: int) -> None:
    answer = send_raw(port, request)
    assert answer.split(" ", 2)[1] == str(status), answer[:200]
    assert answer.count("HTTP/1.") == 1, "the rest of the request was taken for another one"


@pytest.mark.parametrize("name", WAITRESS_LIMITS)
def test_waitress_refuses_and_closes(server: EmbeddedServer, name: str) -> None:
    assert_refused(server.port, *WAITRESS_LIMITS[name])


def test_waitress_answers_a_request_that_announces_a_body_and_has_none(server: EmbeddedServer) -> None:
    answer = send_raw(server.port, get(b"/healthz", b"Expect: 100-continue", b"Connection: close"))

    assert answer.startswith("HTTP/1.1 200 OK")


def assert_harmless(port: int) -> None:
    """Send each hostile request: at most one response, no failure, no file, no header of the client."""
    broken = {}
    for name, request in HOSTILE_REQUESTS.items():
        answer = send_raw(port, request)
        status = answer.split(" ", 2)[1] if answer.startswith("HTTP/1.") else ""
        # 501 and 505: what HTTP answers to methods, encodings and versions that a server does not have.
        failed = not status or (status.startswith("5") and status not in {"501", "505"})
        if failed or answer.count("HTTP/1.1 ") > 1 or "root:" in answer or "\nset-cookie: evil" in answer.lower():
            broken[name] = answer[:300]
    assert broken == {}
    assert send_raw(port, INNOCENT).startswith("HTTP/1.1 200")


def assert_says_that_it_speaks_no_tls(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01" + bytes(511))
        # The connection ends without a reset, in which some systems drop the answer.
        assert b"400 Bad Request" in b"".join(iter(partial(connection.recv, 65_536), b""))
    url = f"https://127.0.0.1:{port}"
    with pytest.raises(GatewayUnreachable, match="the server does not speak TLS at this port: use http://"):
        Gateway(ServerConnection(url)).get("/health")
    refused = partial(pytest.raises, ConnectionFailed, match="WRONG_VERSION.*without TLS, at http://")
    with Client(url) as client:
        with refused():
            client.get_health_status()
        with refused():
            next(client.events())

    async def follow() -> None:
        async with AsyncClient(url) as client:
            await anext(client.events())

    with refused():
        run_coroutine(follow())


def test_waitress_answers_a_client_that_speaks_tls_at_once(server: EmbeddedServer) -> None:
    assert_says_that_it_speaks_no_tls(server.port)


def test_waitress_takes_no_harm(server: EmbeddedServer) -> None:
    assert_harmless(server.port)


GUNICORN = """
    import sys
    from services.api.serving.greenlets import become_green

    become_green()
    from pathlib import Path
    from services.api.app import create_app
    from services.api.assembly import build_deps
    from services.api.serving.gunicorn_server import run_gunicorn
    from services.api.settings import Settings
    from shared.store.engine import open_engine
    from shared.store.reads.reader import Reads
    from shared.transport.embedded.transport import EmbeddedTransport

    def make_app():
        reads = Reads(open_engine(sys.argv[2], read_only=True))
        return create_app(build_deps(transport=EmbeddedTransport(None), reads=reads, version="1", settings=Settings()))

    run_gunicorn(make_app, "127.0.0.1", int(sys.argv[1]), threads=4)
"""


def test_gunicorn_serves_the_same_and_stops_on_sigterm(stack: Stack, tmp_path: Path) -> None:
    stack.add_dag("a")
    port = free_port()
    argv = [sys.executable, "-c", textwrap.dedent(GUNICORN), str(port), f"sqlite:///{tmp_path / 'dagway.db'}"]
    process = os.posix_spawn(sys.executable, argv, os.environ)
    try:

        def healthy() -> bool:
            try:
                return ask(port, "GET", "/api/v2/health")[0] == 200
            except OSError:
                return False

        eventually(healthy)
        assert json.loads(ask(port, "GET", "/api/v2/dags/a.yaml")[2])["dag"]["name"] == "a"
        status, _, body = ask(port, "GET", "/api/v2/dag-runs/a/r/steps/x%2Fy/log")
        assert (status, json.loads(body)["code"]) == (404, "not_found")
        for request, refusal in GUNICORN_LIMITS.values():
            assert_refused(port, request, refusal)
        assert_harmless(port)
        assert_says_that_it_speaks_no_tls(port)
    finally:
        os.kill(process, signal.SIGTERM)
        _, code = os.waitpid(process, 0)
    assert code == 0


LONG_ANSWERS = """
    import sys
    from pathlib import Path
    from services.api.serving.greenlets import become_green

    become_green()
    from services.api.serving.gunicorn_server import run_gunicorn

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return long() if environ["PATH_INFO"] == "/long" else [b"short"]

    def long():
        try:
            while True:
                yield bytes(1024 * 1024)
        finally:
            Path(sys.argv[2]).touch()

    run_gunicorn(lambda: app, "127.0.0.1", int(sys.argv[1]), stall_s=0.5)
"""


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system ends no connection that stalls")
def test_gunicorn_gives_up_a_client_that_takes_no_answer(tmp_path: Path) -> None:
    port, given_up, log = free_port(), tmp_path / "given-up", tmp_path / "log"
    argv = [sys.executable, "-c", textwrap.dedent(LONG_ANSWERS), str(port), str(given_up)]
    with log.open("wb") as file, subprocess.Popen(argv, stdout=file, stderr=file) as process, ExitStack() as links:
        try:

            def answered() -> bool:
                try:
                    return ask(port, "GET", "/short")[2] == b"short"
                except ConnectionError:
                    return False

            eventually(answered)
            ask_and_read_nothing(links, port)
            eventually(given_up.exists)
            assert answered()
        finally:
            process.terminate()
    assert "Traceback" not in log.read_text()
