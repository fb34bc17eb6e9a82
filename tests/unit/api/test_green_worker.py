"""What gunicorn's greenlets are given: a connection that joins what it sends, and a wait that others can end."""

import time
from typing import Any

import gevent
import gevent.socket
from gunicorn.config import Config

from services.api.serving.gevent_worker import _Config, _Connection, _Waiting


class Socket:
    """Keeps what it was told to send, segment by segment."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def sendfile(self, file: bytes) -> None:
        self.sent.append(file)

    def recv(self, _size: int) -> bytes:
        return b"asked"


def answering() -> tuple[Socket, Any]:
    socket = Socket()
    connection = _Connection(socket)
    connection.hold_head()
    return socket, connection


def test_a_head_goes_with_the_first_piece_of_the_body_and_what_follows_at_once() -> None:
    socket, connection = answering()

    connection.sendall(b"head,")
    assert socket.sent == []
    connection.sendall(b"one")
    connection.sendall(b"two")

    assert socket.sent == [b"head,one", b"two"]


def test_a_head_alone_goes_when_the_answer_is_over_and_nothing_twice() -> None:
    socket, connection = answering()

    connection.sendall(b"head")
    connection.flush()
    connection.flush()
    connection.sendall(b"next")

    assert socket.sent == [b"head", b"next"]


def test_a_file_follows_its_head() -> None:
    socket, connection = answering()

    connection.sendall(b"head")
    connection.sendfile(b"file")

    assert socket.sent == [b"head", b"file"]
    assert connection.recv(9) == b"asked"


def test_what_the_kernel_does_not_take_at_once_follows() -> None:
    ours, theirs = gevent.socket.socketpair()
    body = bytes(range(256)) * 64 * 1024
    received = bytearray()

    def read() -> None:
        while piece := theirs.recv(65536):
            received.extend(piece)

    reader = gevent.spawn(read)
    _Connection(ours).sendall(body)
    ours.close()
    reader.join(30)
    theirs.close()

    assert received == body


def test_settings_are_gunicorns_own_and_so_is_what_follows_from_them() -> None:
    config = Config()
    config.set("keepalive", 15)
    config.set("certfile", "/cert")

    settings = _Config(config)

    assert {name: getattr(settings, name) for name in config.settings} == {
        name: getattr(config, name) for name in config.settings
    }
    assert (settings.keepalive, settings.is_ssl) == (15, "/cert")


class Waiter:
    """A connection's greenlet: it waits for a request until ``asked`` is set, then answers until ``let`` is."""

    def __init__(self, waiting: _Waiting) -> None:
        self.asked, self.let = gevent.event.Event(), gevent.event.Event()
        self.said = ""
        self._waiting = waiting
        self.greenlet = gevent.spawn(self._run)
        gevent.idle()

    def _run(self) -> None:
        with self._waiting:
            self.asked.wait(30)
        if self.asked.is_set():
            self.let.wait(30)
            self.said = "answered"


def test_a_wait_ends_in_silence_when_it_was_long_and_whoever_answers_goes_on() -> None:
    waiting = _Waiting()
    idle, busy = Waiter(waiting), Waiter(waiting)
    busy.asked.set()
    gevent.idle()

    waiting.end_before(time.monotonic() + 1, grace_since_s=0)
    idle.greenlet.join(30)
    busy.let.set()
    busy.greenlet.join(30)

    assert (idle.said, busy.said) == ("", "answered")
    assert idle.greenlet.successful()


def test_a_request_that_comes_as_the_wait_is_ended_is_answered() -> None:
    waiting = _Waiting()
    late = Waiter(waiting)

    late.asked.set()
    waiting.end_before(time.monotonic() + 1, grace_since_s=0)
    gevent.idle()
    late.let.set()
    late.greenlet.join(30)

    assert late.said == "answered"


def test_whoever_waits_less_than_that_or_is_given_grace_is_left_alone() -> None:
    waiting = _Waiting()
    one = Waiter(waiting)
    now_s = time.monotonic()

    waiting.end_before(now_s - 1, grace_since_s=0)
    waiting.end_before(now_s + 1, grace_since_s=now_s + 2)
    gevent.idle()
    one.asked.set()
    one.let.set()
    one.greenlet.join(30)

    assert one.said == "answered"
