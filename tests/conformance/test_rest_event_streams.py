"""An event stream ends when it must, also while there is always a further event."""

import sqlite3
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from sqlalchemy import event

from services.api.caches.single_flight import SingleFlight
from services.api.routes import events
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import BUILTIN, open_live
from tests.conformance.rest_stack import NOW, open_stack
from tests.harness.eventually import eventually
from tests.harness.statements import statements

STREAMS = 20


def test_a_stream_that_always_has_more_to_say_ends_with_the_gateway(tmp_path: Path) -> None:
    with open_stack(tmp_path) as stack:
        stack.add_dag("busy")
        key = stack.add_run("busy", "r1", "running")

        def happens(seq: int) -> None:
            stack.add("transitions", run_key=key, seq=seq, at=NOW, node=0, was="", became="running", why="", by="")

        happens(1)
        stream = stack.api("GET", "/dag-runs/busy/r1/events", buffered=False).iter_encoded()
        assert b"retry:" in next(stream)
        assert b"id: 1\n" in next(stream)
        happens(2)
        assert b"id: 2\n" in next(stream)

        happens(3)
        stack.deps.closing.set()

        # It is read from its last id at another gateway.
        assert next(stream, None) is None


def test_a_stream_of_a_run_does_not_read_its_steps_to_see_that_it_goes_on(tmp_path: Path) -> None:
    with open_stack(tmp_path) as stack:
        stack.add_dag("busy")
        key = stack.add_run("busy", "r1", "running")
        stream = stack.api("GET", "/dag-runs/busy/r1/events", buffered=False).iter_encoded()
        assert b"retry:" in next(stream)

        sent: list[str] = []

        def looks() -> int:
            return sum("FROM transitions" in each for each in sent)

        def happens() -> None:
            eventually(lambda: looks() > 1)
            stack.add("transitions", run_key=key, seq=1, at=NOW, node=None, was="", became="running", why="", by="")

        event.listen(stack.reader, "checkout", lambda opened, *_: opened.set_trace_callback(sent.append))
        later = threading.Thread(target=happens)
        later.start()
        assert b"id: 1\n" in next(stream)
        later.join()

    assert looks() > 1, "it has looked before the event, too"
    assert [each for each in sent if "nodes.outputs" in each] == []


class Together(SingleFlight):
    """Begins no query before all streams have asked: on a busy machine one may have its answer before the next asks."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: list[Hashable] = []

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        def made() -> bytes:
            eventually(lambda: len(self._asked) >= STREAMS)
            return make()

        self._asked.append(key)
        return super().get(key, made)


def test_streams_of_all_runs_that_are_at_the_same_place_share_their_queries(tmp_path: Path) -> None:
    with open_stack(tmp_path, single_flight=Together()) as stack, ThreadPoolExecutor(STREAMS) as threads:
        stack.add_dag("busy")
        key = stack.add_run("busy", "r1", "running")
        streams = [stack.api("GET", "/events", buffered=False).iter_encoded() for _ in range(STREAMS)]
        assert all(b"retry:" in next(each) for each in streams)
        row = {"node": None, "was": "", "became": "running", "why": "", "by": "", "txid": 7, "pos": 1}
        stack.add("transitions", run_key=key, seq=1, at=NOW, **row)

        with statements(stack.reader) as sent:
            read_by = list(threads.map(next, streams))

    assert len(set(read_by)) == 1
    assert b"id: 7-1\n" in read_by[0]
    assert len([each for each in sent if "FROM transitions" in each]) <= STREAMS // 2


def test_a_stream_ends_soon_after_the_login_of_its_client(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_ADMIT_EVERY_S", 0.0)
    with open_live(deployment, BUILTIN) as live:
        logins = [live.log_in() for _ in range(2)]
        first, second = (live.ask("GET", "/events", token=login, buffered=False).iter_encoded() for login in logins)
        assert b"retry:" in next(first)
        assert b"retry:" in next(second)

        assert live.ask("POST", "/auth/logout", token=logins[0]).status_code == 204
        live.post("/dag-runs", {"name": "seen", "spec": "steps:\n  - echo hi\n"}, token=logins[1])

        assert b"seen" in next(second)
        assert next(first, None) is None


def _away(*_: object) -> NoReturn:
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    raise error


@pytest.mark.parametrize("path", ["/events", "/dag-runs/busy/r1/events"])
def test_a_stream_goes_on_after_the_database_was_away(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ``EventSource`` of a browser never asks again after the 503 that it would get meanwhile."""
    monkeypatch.setattr(events, "_PING_S", 0.05)
    with open_stack(tmp_path) as stack:
        stack.add_dag("busy")
        key = stack.add_run("busy", "r1", "running")
        stream = stack.api("GET", path, buffered=False).iter_encoded()
        assert b"retry:" in next(stream)

        stack.reader.dispose()
        event.listen(stack.reader, "do_connect", _away)
        assert next(stream) == b": the database is down\n\n"
        event.remove(stack.reader, "do_connect", _away)
        row = {"node": None, "was": "", "became": "running", "why": "", "by": "", "txid": 7, "pos": 1}
        stack.add("transitions", run_key=key, seq=1, at=NOW, **row)

        assert any(b"data: " in part for part in stream)


def test_a_stream_whose_time_is_over_ends_when_the_database_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client comes back at once, and must not meet the 503."""
    now = 0.0
    monkeypatch.setattr(events, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(events, "_PING_S", 0.05)
    with open_stack(tmp_path) as stack:
        stack.add_dag("busy")
        key = stack.add_run("busy", "r1", "running")
        stream = stack.api("GET", "/events", buffered=False).iter_encoded()
        assert b"retry:" in next(stream)

        stack.reader.dispose()
        event.listen(stack.reader, "do_connect", _away)
        for now in (59.0, 61.0, 120.0):  # noqa: B007 - the clock
            assert next(stream, None) == b": the database is down\n\n"
        event.remove(stack.reader, "do_connect", _away)
        row = {"node": None, "was": "", "became": "running", "why": "", "by": "", "txid": 7, "pos": 1}
        stack.add("transitions", run_key=key, seq=1, at=NOW, **row)

        assert any(b"data: " in part for part in stream)
        assert next(stream, None) is None


def test_a_client_that_comes_back_while_the_database_is_away_is_refused(tmp_path: Path) -> None:
    """A stream would end at once, and its client come back several times a second without a word about it."""
    with open_stack(tmp_path) as stack:
        stack.reader.dispose()
        event.listen(stack.reader, "do_connect", _away)

        assert stack.api("GET", "/events", headers={"Last-Event-ID": "7-1"}).status_code == 503
