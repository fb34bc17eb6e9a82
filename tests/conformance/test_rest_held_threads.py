"""Clients that hold threads of ``dagway up`` for long, of every kind at once, leave some for others."""

import http.client
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.api.run_details.wait_for_end import place_to_wait
from services.api.serving.held_threads import most_followers, most_slow_readers
from services.api.serving.server import EmbeddedServer
from services.api.settings import Settings
from shared.contracts.commands import StartRun
from tests.conformance.rest_stack import open_stack
from tests.harness.eventually import PATIENCE_S

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@pytest.mark.parametrize("threads", range(3, 65))
def test_a_quarter_of_the_threads_is_left(threads: int) -> None:
    left = threads - most_followers(threads) - most_slow_readers(threads)

    assert left >= (threads / 4 if threads > 3 else 1)


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


def test_streams_waits_and_slow_readers_together_leave_threads_for_short_requests(tmp_path: Path) -> None:
    threads = 8
    followers, slow = most_followers(threads), most_slow_readers(threads)
    left = threads - followers - slow
    with (
        open_stack(tmp_path, settings=Settings(max_streams=followers, max_waits=followers)) as stack,
        ExitStack() as links,
    ):
        app = Application(stack.app, left)
        server = EmbeddedServer(app, "127.0.0.1", 0, threads=threads, stall_s=3600)
        server.start()
        links.callback(server.stop)

        def ask(path: str) -> http.client.HTTPResponse:
            link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
            links.callback(link.close)
            link.request("GET", path)
            return link.getresponse()

        # A request that waits for a run takes the place of a stream.
        with place_to_wait(stack.deps, StartRun(file_name="a", dag_run_id="r")) as waits:
            assert waits is not None
            streams = [ask("/api/v2/events") for _ in range(followers - 1)]
            assert ask("/api/v2/events").status == 503
        streams.append(ask("/api/v2/events"))
        assert [stream.status for stream in streams] == [200] * followers
        with place_to_wait(stack.deps, StartRun(file_name="a", dag_run_id="r")) as waits:
            assert waits is None
        for _ in range(2 * threads):
            ask("/long")  # nobody reads the body
        for _ in range(2 * threads - slow):
            assert app.given_up.acquire(timeout=PATIENCE_S)

        with ThreadPoolExecutor(left) as clients:
            answers = list(clients.map(ask, ["/short"] * left))
        assert [answer.read() for answer in answers] == [b"short"] * left
