"""Following over a connection that breaks: events and log lines come once each, in order."""

import json
import shlex
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from services.cli.errors import GatewayError, GatewayUnreachable
from services.cli.log_tail import LogTail
from services.cli.remote.event_stream import follow
from services.cli.remote.following import end_with_result, follow_run
from services.cli.remote.gateway import Gateway, ServerConnection
from services.cli.remote.logs import follow_logs
from services.cli.remote.patience import Patience
from shared.event_stream import EventParser, StreamEvent


def framed(number: int) -> bytes:
    return f"id: {number}\nevent: transition\ndata: {json.dumps({'n': number, 'text': 'ü'})}\n\n".encode()


@given(st.lists(st.integers(0, 400), max_size=12))
def test_events_are_read_wherever_the_pieces_of_the_stream_end(cuts: list[int]) -> None:
    whole = b"retry: 1000\n: here\n\n" + b"".join(map(framed, range(5))) + b": ping\n\n"
    places = sorted({0, *[min(cut, len(whole)) for cut in cuts], len(whole)})
    pieces = [whole[begin:end] for begin, end in pairwise(places)]

    parser = EventParser()
    assert [event.data["n"] for piece in pieces for event in parser.feed(piece)] == list(range(5))


class BrokenSource:
    """A stream of ``count`` events, of which each connection brings ``each``; every second one cannot be opened."""

    def __init__(self, count: int, each: int) -> None:
        self.count, self.each, self.opened = count, each, 0

    def stream(self, path: str, last_id: str) -> Iterator[bytes] | None:  # noqa: ARG002
        self.opened += 1
        if self.opened % 2 == 0:
            raise GatewayUnreachable("away")
        first = int(last_id or 0) + 1
        return None if first > self.count else self._pieces(first)

    def _pieces(self, first: int) -> Iterator[bytes]:
        for number in range(first, min(first + self.each, self.count + 1)):
            yield framed(number)
        raise GatewayUnreachable("cut")


def test_a_stream_continues_after_the_last_event(capsys: pytest.CaptureFixture[str]) -> None:
    events = list(follow(BrokenSource(7, 3), "/events", pause=lambda _s: None))

    assert [event.id for event in events] == [str(number) for number in range(1, 8)]
    told = ["dagway: connection lost, trying again: cut"] * 3
    assert capsys.readouterr().err.splitlines() == told, "once for each interruption"


def test_a_lost_connection_is_told_without_the_advice_for_a_missing_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    lost = GatewayUnreachable("the gateway at X cannot be reached", advice="start one")

    Patience().lost(lost)

    assert capsys.readouterr().err == "dagway: connection lost, trying again: the gateway at X cannot be reached\n"
    assert str(lost) == "the gateway at X cannot be reached; start one"


class Away:
    """A gateway that is gone. Each request takes a while, as all its tries do."""

    def __init__(self) -> None:
        self.now = 0.0

    def stream(self, path: str, last_id: str) -> NoReturn:
        self.get(path, last_id=last_id)

    def get(self, path: str, **query: Any) -> NoReturn:  # noqa: ARG002
        self.pause(3)
        raise GatewayUnreachable("away")

    def pause(self, seconds: float) -> None:
        self.now += seconds


def follow_events_of(away: Away, patience: Patience) -> Iterator[object]:
    return follow(away, "/events", patience=patience, pause=away.pause)


def follow_logs_of(away: Away, patience: Patience) -> Iterator[object]:
    return follow_logs(away, "/r", step="", until_end=True, patience=patience, pause=away.pause)


@pytest.mark.parametrize("follow_all", [follow_events_of, follow_logs_of])
def test_following_gives_up_after_a_while(follow_all: Callable[[Away, Patience], Iterator[object]]) -> None:
    away = Away()

    with pytest.raises(GatewayUnreachable):
        list(follow_all(away, Patience(60, lambda: away.now)))

    assert 60 < away.now < 72


class Hurt:
    """A gateway whose database is away whenever it is asked for the first time, and then not."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._status = "running"

    def get(self, path: str, **_query: Any) -> Any:
        self._fail_once(path)
        self._status = "running" if self._status == "not_started" else "succeeded"
        return {"dagRunDetails": {"dagRunId": "r", "statusLabel": self._status, "nodes": []}}

    def stream(self, path: str, last_id: str) -> Iterator[bytes] | None:  # noqa: ARG002
        return None if last_id else iter([framed(1)])

    def _fail_once(self, path: str) -> None:
        if path not in self._asked:
            self._asked.add(path)
            self._status = "not_started"
            raise GatewayError("The database is unavailable", status=503)


def test_a_run_and_its_log_are_followed_over_an_outage_of_the_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("services.cli.remote.patience.time.sleep", lambda _s: None)

    followed = [run["statusLabel"] for run in follow_run(cast(Gateway, Hurt()), "w", "r")]
    lines = list(follow_logs(Hurt(), "/r", step="", until_end=True, pause=lambda _s: None))

    assert (followed, lines) == (["running", "succeeded"], [])
    assert set(capsys.readouterr().err.splitlines()) == {
        "dagway: connection lost, trying again: The database is unavailable"
    }


class EndedBadly(Hurt):
    """A run that has failed, or waits: after its end, the database is away once more."""

    def get(self, path: str, **_query: Any) -> Any:
        self._fail_once(path)
        waiting = {"name": "w", "dagRunId": "r", "stepName": "ask"}
        return {"content": "no such file"} if path.endswith("/log") else {"approvals": [waiting]}


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [("failed", 1, "no such file"), ("waiting", 0, "dagway: to go on: dagway approve w ask --run-id r")],
)
def test_how_a_run_ended_is_told_over_an_outage_of_the_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: str, code: int, told: str
) -> None:
    monkeypatch.setattr("services.cli.remote.patience.time.sleep", lambda _s: None)
    monkeypatch.setattr("services.cli.remote.following.print_run", lambda _run: None)
    node = {"statusLabel": status, "step": {"name": "ask", "executorConfig": {"config": {}}}}
    run = {"name": "w", "dagRunId": "r", "statusLabel": status, "nodes": [node]}

    with pytest.raises(SystemExit) as end:
        end_with_result(cast(Gateway, EndedBadly()), run, quiet=False, in_json=False)

    assert end.value.code == code
    shown = capsys.readouterr()
    assert told in (shown.out + shown.err).splitlines()
    assert "connection lost, trying again: The database is unavailable" in shown.err


def test_the_command_that_approves_can_be_pasted_into_a_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The names of steps and of their inputs may hold any character."""
    monkeypatch.setattr("services.cli.remote.following.print_run", lambda _run: None)
    name, config = "it's; $(ok)", {"required": ["a b"]}
    node = {"statusLabel": "waiting", "step": {"name": name, "executorConfig": {"config": config}}}
    run = {"name": "w", "dagRunId": "r", "statusLabel": "waiting", "nodes": [node]}
    approvals = {"approvals": [{"name": "w", "dagRunId": "r", "stepName": name}]}
    gateway = SimpleNamespace(get=lambda *_path: approvals)

    with pytest.raises(SystemExit):
        end_with_result(cast(Gateway, gateway), run, quiet=False, in_json=False)

    command = capsys.readouterr().err.partition("to go on: ")[2]
    assert shlex.split(command) == ["dagway", "approve", "w", name, "--run-id", "r", "--input", "a b=VALUE"]


def test_a_proxy_without_a_gateway_behind_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.remote.patience.time.sleep", lambda _s: None)
    page, answer = urllib3.HTTPResponse(b"<h1>Bad Gateway</h1>", status=502), urllib3.HTTPResponse(b"{}", status=200)
    pages = iter([page, page, page, page, answer])
    monkeypatch.setattr(urllib3.PoolManager, "request", lambda *_args, **_options: next(pages))
    gateway = Gateway(ServerConnection("http://x"), pause=lambda _s: None)

    assert Patience().insist(lambda: gateway.get("/dag-runs")) == {}


def test_what_a_gateway_refuses_is_not_asked_for_again() -> None:
    def ask() -> NoReturn:
        raise GatewayError("there is no such run", status=404)

    with pytest.raises(GatewayError, match="no such run"):
        Patience().insist(ask)


class Silent:
    """A gateway without news, behind a proxy that ends each connection after a while. It leaves after ``count``."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.now = 0.0

    def stream(self, path: str, last_id: str) -> Iterator[bytes] | None:  # noqa: ARG002
        self._left -= 1
        return self._pieces() if self._left >= 0 else None

    def _pieces(self) -> Iterator[bytes]:
        yield b"retry: 1000\n: here\n\n"
        self.now += 15
        raise GatewayUnreachable("cut")


def test_a_gateway_without_news_is_not_away() -> None:
    silent = Silent(10)

    assert list(follow(silent, "/events", patience=Patience(60, lambda: silent.now), pause=lambda _s: None)) == []

    assert silent.now == 150


class GrowingLog:
    """A gateway whose run writes ``texts``: what the log holds at each look; the run ends with the last."""

    def __init__(self, texts: list[str], page: int = 2, lost_at: int = -1) -> None:
        self.texts, self.look, self.page, self.lost_at = texts, -1, page, lost_at

    def get(self, path: str, **query: Any) -> Any:
        if not path.endswith("/log"):
            self.look = min(self.look + 1, len(self.texts) - 1)
            status = "succeeded" if self.look == len(self.texts) - 1 else "running"
            node = {"step": {"name": "s"}, "statusLabel": status, "stdout": "a", "stderr": "a"}
            return {"dagRunDetails": {"statusLabel": status, "nodes": [node]}}
        if self.look == self.lost_at:
            self.lost_at = -1
            raise GatewayUnreachable("away")
        text = self.texts[self.look]
        lines = text.removesuffix("\n").split("\n") if text else []
        shown = lines[query["offset"] - 1 :][: min(self.page, query["limit"])]
        more = query["offset"] - 1 + len(shown) < len(lines) and bool(shown)
        return {"content": "\n".join(shown), "lineCount": len(shown), "totalLines": len(lines), "hasMore": more}


def followed(gateway: GrowingLog) -> list[str]:
    return [line.text for line in follow_logs(gateway, "/r", step="", until_end=True, pause=lambda _s: None)]


@given(st.lists(st.text("ab\n", max_size=8), min_size=1, max_size=6), st.integers(0, 6))
def test_each_line_of_a_growing_log_comes_once(parts: list[str], lost_at: int) -> None:
    whole = "".join(parts)
    looks = ["".join(parts[: count + 1]) for count in range(len(parts))]

    assert "".join(followed(GrowingLog(looks, lost_at=lost_at))) == whole.replace("\n", "")


def test_complete_lines_come_whole_and_a_growing_one_when_it_rests() -> None:
    assert followed(GrowingLog(["one\n", "one\ntw", "one\ntw", "one\ntwo\nthree", "one\ntwo\nthree\n"])) == [
        "one",
        "tw",
        "o",
        "three",
    ]


def test_a_log_can_be_read_from_a_line_on() -> None:
    gateway = GrowingLog(["a\nb\nc\n"])
    gateway.look = 0

    tail = LogTail(lambda first: gateway.get("/log", offset=first, limit=9), "s", "stdout", next_line=2)

    assert [(line.number, line.text) for line in tail.read(ended=True)] == [(2, "b"), (3, "c")]
    assert list(tail.read(ended=True)) == []


def test_an_event_without_data_only_tells_the_place() -> None:
    assert list(EventParser().feed(b"id: 12-0\nretry: 5\n\n")) == [StreamEvent("12-0", None)]
