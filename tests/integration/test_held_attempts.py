"""The number of attempts that a worker holds is read from its metrics, whatever else a pod sends."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client.registry import Collector

from services.kubernetes.costs import WorkerPod
from services.kubernetes.held_attempts import held_attempts
from services.worker.reporting.metrics import WorkerCollector, WorkerFacts
from shared.admin_server import AdminServer
from shared.disk import Volume
from shared.metrics import ProcessCollector
from tests.harness.eventually import PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
CHUNKS = b"5\r\ndagwa\r\n18\r\ny_worker_attempts_held 7\r\n0\r\n\r\n"
GAUGE = b"dagway_worker_attempts_held"


def _at(port: int, address: str = "127.0.0.1") -> WorkerPod:
    return WorkerPod("a", "a", address, port, 0)


@pytest.mark.parametrize("held", [0, 1, 100])
def test_the_metrics_of_a_real_worker_say_it(held: int, tmp_path: Path) -> None:
    facts = WorkerFacts({}, slots=100, busy=held, draining=False, spooled=0, trouble="")
    collectors: list[Collector] = [
        ProcessCollector("worker", "1", None, Volume(tmp_path)),
        WorkerCollector(lambda: facts),
    ]
    server = AdminServer("127.0.0.1", 0, lambda: "", collectors)
    server.start()
    try:
        assert held_attempts(_at(server.port), deadline_s=PATIENCE_S) == held
    finally:
        server.stop()


@contextmanager
def _serving(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[WorkerPod]:
    """Serve one connection by ``talk`` once the request has come."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                with suppress(OSError):  # The client has gone, as it should.
                    talk(connection, over)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield _at(listener.getsockname()[1])
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        pytest.param(OK + b"\r\n" + GAUGE + b" 7.0\n", 7, id="plain"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS, 7, id="in chunks"),
        pytest.param(OK + b"\r\n" + GAUGE + b'_more{a="b"} 9\n' + GAUGE + b" 2.0\n", 2, id="beside a longer name"),
        pytest.param(OK + b"\r\nother 1\n", None, id="without it"),
        pytest.param(OK + b"\r\n" + GAUGE + b" NaN\n", None, id="no number"),
        pytest.param(OK + b"\r\n" + GAUGE + b" -1\n", None, id="less than none"),
        pytest.param(OK + b"\r\n" + GAUGE + b" +Inf\n", None, id="without end"),
        pytest.param(OK + b"\r\n" + GAUGE + b" seven\n", None, id="a word"),
        pytest.param(OK + b"\r\n\xff\xfe\n", None, id="no text"),
        pytest.param(OK + b"Content-Length: 99\r\n\r\n" + GAUGE + b" 1\n", None, id="cut off"),
        pytest.param(b"HTTP/1.1 503 No\r\n\r\n" + GAUGE + b" 7.0\n", None, id="an error"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n", None, id="a redirection"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", None, id="another protocol"),
        pytest.param(b"", None, id="nothing"),
    ],
)  # fmt: skip
def test_a_number_is_taken_from_an_answer_or_none(answer: bytes, held: int | None) -> None:
    with _serving(lambda connection, _over: connection.sendall(answer)) as pod:
        assert held_attempts(pod, deadline_s=PATIENCE_S) == held


def _byte_by_byte(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(OK + b"X-Long: ")
    while not over.wait(0.02):
        connection.sendall(b"x")


def _without_end(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(OK + b"\r\n")
    while not over.is_set():
        connection.sendall(b"# a comment\n" * 5000)


def _silent(_connection: socket.socket, over: threading.Event) -> None:
    over.wait(60)


@pytest.mark.parametrize("talk", [_byte_by_byte, _without_end, _silent])
def test_a_pod_that_never_ends_its_answer_does_not_hold_us_up(
    talk: Callable[[socket.socket, threading.Event], None],
) -> None:
    with _serving(talk) as pod:
        assert held_attempts(pod, deadline_s=0.3) is None


def test_a_pod_that_is_gone_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert held_attempts(_at(port)) is None
    assert held_attempts(_at(port, "not an address")) is None
