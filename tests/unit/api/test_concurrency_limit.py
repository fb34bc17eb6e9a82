"""The limit of concurrent requests, with real greenlets."""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import gevent
import pytest
from gevent.event import Event

from services.api.problems import REFUSED
from services.api.serving.concurrency_limit import ConcurrencyLimit
from services.api.serving.places import WITHOUT_PLACE


class App:
    """A WSGI application that answers when ``go`` is set, and records the requests that reached it."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.bodies: list[bytes] = []
        self.go = Event()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if REFUSED in environ:
            start(environ[REFUSED].status, [])
            return [environ[REFUSED].message.encode()]
        self.inside.append(environ["PATH_INFO"])
        self.bodies.append(environ["wsgi.input"].read())
        self.go.wait()
        return [environ["PATH_INFO"].encode()]


class Trickle:
    """A request body that arrives when ``go`` is set."""

    def __init__(self, body: bytes, go: Event) -> None:
        self._rest, self._go = BytesIO(body), go

    def read(self, size: int) -> bytes:
        self._go.wait()
        return self._rest.read(size)


def ask(
    layer: ConcurrencyLimit, path: str, body: Any = b"", told: list[int] | None = None, *, chunked: bool = False
) -> "gevent.Greenlet[..., Any]":
    size = str(len(body)) if isinstance(body, bytes) else "4"
    stream = BytesIO(body) if isinstance(body, bytes) else body
    length = {"HTTP_TRANSFER_ENCODING": "chunked"} if chunked else {"CONTENT_LENGTH": size}
    environ = {"PATH_INFO": path, "wsgi.input": stream, **length}
    begun = told if told is not None else []
    return gevent.spawn(layer, environ, lambda status, _headers: begun.append(status))


def settle() -> None:
    """Let every greenlet run until it blocks."""
    for _ in range(5):
        gevent.sleep(0)


def test_requests_beyond_the_limit_wait_until_others_are_answered() -> None:
    app = App()
    layer = ConcurrencyLimit(app, 2)
    asked = [ask(layer, path) for path in ("/1", "/2", "/3")]
    settle()
    assert app.inside == ["/1", "/2"]

    app.go.set()
    assert [each.get(timeout=30) for each in asked] == [[b"/1"], [b"/2"], [b"/3"]]


def test_a_client_that_sends_one_request_behind_the_other_keeps_nobody_waiting() -> None:
    answered: list[str] = []

    def app(environ: dict[str, Any], _start: Callable[..., Any]) -> Iterable[bytes]:
        gevent.sleep(0)
        answered.append(environ["PATH_INFO"])
        return []

    layer = ConcurrencyLimit(app, 1)

    def pipeline() -> None:
        begin: Any = None  # the application begins no response
        for _ in range(20):
            layer({"PATH_INFO": "/greedy"}, begin)

    clients = [gevent.spawn(pipeline), ask(layer, "/modest")]
    gevent.joinall(clients, timeout=30, raise_error=True)

    assert answered.index("/modest") <= 2, answered


class Waits:
    """A WSGI application whose requests wait without their place. Records which are inside and which waited."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.ended = {path: Event() for path in ("/1", "/2", "/3", "/4")}
        self.go = Event()

    def __call__(self, environ: dict[str, Any], _start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.seen.append(path)
        with environ[WITHOUT_PLACE]():
            self.ended[path].wait()
        self.seen.append(f"{path} has waited")
        self.go.wait()
        return [path.encode()]


def test_a_request_that_waits_has_no_place_and_takes_one_again_afterwards() -> None:
    app = Waits()
    layer = ConcurrencyLimit(app, 1)
    asked = [ask(layer, path) for path in ("/1", "/2")]
    settle()
    assert app.seen == ["/1", "/2"]

    for ended in app.ended.values():
        ended.set()
    settle()
    assert app.seen == ["/1", "/2", "/1 has waited"]
    app.go.set()
    assert [each.get(timeout=30) for each in asked] == [[b"/1"], [b"/2"]]


@pytest.mark.parametrize("moment", ["waiting", "waiting for a place"])
def test_a_request_that_is_ended_while_it_has_no_place_gives_none_back(moment: str) -> None:
    app = Waits()
    layer = ConcurrencyLimit(app, 1)
    first, second = (ask(layer, path) for path in ("/1", "/2"))
    settle()
    app.ended["/1"].set()
    settle()
    if moment == "waiting for a place":
        app.ended["/2"].set()
        settle()

    second.kill(block=False)
    settle()
    app.go.set()

    assert first.get(timeout=30) == [b"/1"]
    second.join(timeout=30)
    assert second.successful()  # it was ended, and nothing else went wrong
    app.go.clear()
    for path in ("/3", "/4"):
        app.ended[path].set()
        ask(layer, path)
    settle()
    assert app.seen[2:] == ["/1 has waited", "/3", "/3 has waited"], "there is still one place"


def test_probes_are_answered_although_the_limit_is_reached() -> None:
    app = App()
    layer = ConcurrencyLimit(app, 1)
    for path in ("/1", "/healthz", "/readyz"):
        ask(layer, path)
    settle()

    assert app.inside == ["/1", "/healthz", "/readyz"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_comes_slowly_takes_no_place(*, chunked: bool) -> None:
    app, late = App(), Event()
    app.go.set()
    layer = ConcurrencyLimit(app, 1)
    slow = ask(layer, "/slow", Trickle(b"slow", late), chunked=chunked)
    settle()

    assert ask(layer, "/quick", b"quick").get(timeout=30) == [b"/quick"]
    late.set()
    assert slow.get(timeout=30) == [b"/slow"]
    assert app.bodies == [b"quick", b"slow"]


def test_a_body_that_does_not_come_is_given_up_and_says_so() -> None:
    app = App()
    told: list[int] = []
    layer = ConcurrencyLimit(app, 1, body_timeout_s=0.01)

    answer = ask(layer, "/slow", Trickle(b"slow", Event()), told).get(timeout=30)

    assert (told, answer) == ([408], [b"The request body did not arrive in time"])
    assert app.inside == []


def test_bodies_that_are_too_much_together_are_refused_until_some_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.serving.concurrency_limit._HELD_BYTES", 3)
    app = App()
    told: list[int] = []
    layer = ConcurrencyLimit(app, 1)
    held = ask(layer, "/held", b"held")
    settle()
    ask(layer, "/beyond", b"more", told).get(timeout=30)
    assert told == [503]

    app.go.set()
    held.get(timeout=30)
    assert ask(layer, "/later", b"more").get(timeout=30) == [b"/later"]


class Broken:
    """A request body whose server finds an invalid chunk."""

    def read(self, _size: int) -> bytes:
        raise OSError("invalid chunk size")


def test_a_broken_body_is_refused_before_it_waits_for_a_place() -> None:
    app, told = App(), list[int]()

    asked = ask(ConcurrencyLimit(app, 1), "/broken", Broken(), told, chunked=True)
    asked.join()

    assert (told, app.inside) == ([400], [])
