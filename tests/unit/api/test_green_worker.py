"""How the gevent worker ends the wait for a request, and its guard against a stall."""

import faulthandler
import time
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest

from services.api.serving.gevent_worker import GreenWorker, _Waiting


class Waiter:
    """A connection's greenlet: it waits for a request until ``asked`` is set, then answers until ``let`` is set."""

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


def test_idle_connections_are_closed_without_a_response_and_answers_go_on() -> None:
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


def test_a_request_that_arrives_as_its_wait_is_ended_is_answered() -> None:
    waiting = _Waiting()
    late = Waiter(waiting)

    late.asked.set()
    waiting.end_before(time.monotonic() + 1, grace_since_s=0)
    gevent.idle()
    late.let.set()
    late.greenlet.join(30)

    assert late.said == "answered"


def test_connections_that_wait_less_or_have_grace_are_kept() -> None:
    waiting = _Waiting()
    now_s = time.monotonic()
    one = Waiter(waiting)

    waiting.end_before(now_s - 1, grace_since_s=0)
    waiting.end_before(now_s + 1, grace_since_s=now_s + 2)
    gevent.idle()
    one.asked.set()
    one.let.set()
    one.greenlet.join(30)

    assert one.said == "answered"


def test_a_gateway_goes_on_where_no_thread_can_be_started_for_its_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    def refused(timeout: float, **_: object) -> None:
        calls.append(timeout)
        raise RuntimeError("unable to start watchdog thread")

    monkeypatch.setattr(faulthandler, "dump_traceback_later", refused)
    worker = cast(Any, SimpleNamespace(timeout=7.0))

    GreenWorker.notify(worker)
    GreenWorker.notify(worker)

    assert calls == [7.0, 7.0]
