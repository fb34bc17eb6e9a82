"""What the Python client sends for one call, and when it repeats a request."""

import copy
import json
import pickle
import time
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from dagway.client import AsyncClient, Client, calls
from dagway.client.calls import ApiCall
from dagway.client.connection import pause_until, stream_options
from dagway.client.errors import ClientError, ConnectionFailed, RequestRefused
from dagway.client.exchange import Delay, HttpAnswer, Send, exchange
from shared.unknown_outcome import IN_DOUBT
from tests.harness.event_loops import run_coroutine

UNAVAILABLE = HttpAnswer(
    503, b'{"code":"unavailable","message":"the broker is unavailable; nothing was changed"}', {"retry-after": "1"}
)
LOST = HttpAnswer(failure=OSError("connection reset"))
NOT_SENT = HttpAnswer(failure=OSError("connection refused"), sent=False)


def ok(content: Any, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(content).encode())


def play(call: ApiCall[Any], *answers: HttpAnswer) -> tuple[Any, list[Send], list[float]]:
    """Carry out a call with these answers; return its result, the requests and the pauses."""
    sent: list[Send] = []
    paused: list[float] = []
    given = iter(answers)
    conversation = exchange(call)
    answer: HttpAnswer | None = None
    while True:
        try:
            asked = conversation.send(answer)
        except StopIteration as done:
            assert next(given, None) is None, "an answer was not asked for"
            return done.value, sent, paused
        if isinstance(asked, Delay):
            paused.append(asked.seconds)
            answer = None
        else:
            sent.append(asked)
            answer = next(given)


def test_a_write_is_repeated_with_the_same_key_until_it_is_answered() -> None:
    result, sent, paused = play(calls.start("hello", params={"NAME": "Ada"}), LOST, UNAVAILABLE, ok({"dagRunId": "r1"}))

    assert result == "r1"
    assert len(sent) == 3
    assert len({request.headers["Idempotency-Key"] for request in sent}) == 1
    assert json.loads(sent[0].body or b"") == {"params": '{"NAME": "Ada"}'}
    assert paused[1] >= 1, "the gateway said how long to wait"


def test_a_pause_that_is_no_number_is_not_made() -> None:
    odd = HttpAnswer(503, UNAVAILABLE.content, {"retry-after": "²"})

    result, sent, _ = play(calls.start("hello"), odd, ok({"dagRunId": "r1"}))

    assert (result, len(sent)) == ("r1", 2)


def test_two_writes_have_different_keys() -> None:
    keys = {play(calls.start("a"), ok({"dagRunId": "r"}))[1][0].headers["Idempotency-Key"] for _ in range(2)}

    assert len(keys) == 2


def test_a_gateway_that_never_answers_is_an_error_after_some_tries() -> None:
    with pytest.raises(ConnectionFailed, match="connection reset"):
        play(calls.dag("a"), *[LOST] * 5)
    with pytest.raises(ConnectionFailed, match="503: the broker is unavailable"):
        play(calls.dag("a"), *[UNAVAILABLE] * 5)
    with pytest.raises(ConnectionFailed, match="GET /dags/a: the gateway answered 502$"):
        play(calls.dag("a"), *[HttpAnswer(502, b"<html>")] * 5)


NOT_CONFIRMED = ok({"message": "whether it was accepted is unknown", "details": {"outcome": "unknown"}}, 503)


@pytest.mark.parametrize("first", [NOT_CONFIRMED, LOST, HttpAnswer(504)], ids=["not confirmed", "lost", "too slow"])
@pytest.mark.parametrize("last", [UNAVAILABLE, NOT_SENT], ids=["unavailable", "not sent"])
def test_a_write_is_in_doubt_if_an_earlier_try_may_have_been_stored(first: HttpAnswer, last: HttpAnswer) -> None:
    with pytest.raises(ConnectionFailed) as written:
        play(calls.start("a"), first, *[last] * 4)
    with pytest.raises(ConnectionFailed) as read:
        play(calls.dag("a"), LOST, *[last] * 4)

    assert str(written.value).endswith(IN_DOUBT)
    assert "nothing was changed" not in str(written.value)
    assert "not known" not in str(read.value)


def test_a_write_of_which_no_try_arrived_is_not_in_doubt() -> None:
    with pytest.raises(ConnectionFailed, match="connection refused$"):
        play(calls.start("a"), *[NOT_SENT] * 5)
    with pytest.raises(ConnectionFailed, match="503: the broker is unavailable; nothing was changed$"):
        play(calls.start("a"), NOT_SENT, *[UNAVAILABLE] * 4)
    with pytest.raises(ConnectionFailed, match="not known"):
        play(calls.start("a"), *[NOT_SENT] * 4, LOST)


def test_a_refusal_says_why_and_is_not_repeated() -> None:
    refused = ok({"code": "not_found", "message": "There is no DAG 'a'", "details": {"x": 1}}, 404)

    with pytest.raises(RequestRefused, match="There is no DAG 'a'") as caught:
        play(calls.dag("a"), refused)

    assert (caught.value.status, caught.value.code, caught.value.details) == (404, "not_found", {"x": 1})


def test_a_refusal_passes_from_process_to_process() -> None:
    refused = RequestRefused(404, "not_found", "There is no DAG 'a'", {"x": 1})
    refused.add_note("while the nightly runs were started")

    for again in (pickle.loads(pickle.dumps(refused)), copy.copy(refused)):  # noqa: S301
        assert type(again) is RequestRefused
        assert (str(again), vars(again)) == (str(refused), vars(refused))


def test_an_answer_that_is_not_of_a_gateway_is_an_error() -> None:
    with pytest.raises(ClientError, match="is this a Dagway gateway"):
        play(calls.dags(), HttpAnswer(200, b"<html>"))
    foreign: list[Any] = [{"ok": True}, [], "up"]
    for content in foreign:
        with pytest.raises(ClientError, match="GET /dag-runs/a/latest: .* is this a Dagway gateway"):
            play(calls.run("a"), ok(content))
    with pytest.raises(ClientError, match="POST /dags/a/start: .* is this a Dagway gateway"):
        play(calls.start("a"), ok({}, 202))


def test_an_answer_that_cannot_be_unpacked_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def garbled(_transport: object, _request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", garbled)
    monkeypatch.setattr("dagway.client.blocking.time.sleep", lambda _seconds: None)
    with Client() as client, pytest.raises(ConnectionFailed, match="GET /dag-runs/a/latest"):
        client.run("a")


def test_a_command_without_outcome_is_asked_for_until_it_has_one() -> None:
    pending = ok({"commandId": "c1", "dagRunId": "r1"}, 202)
    unknown = ok({"code": "not_found", "message": "no recorded outcome"}, 404)

    result, sent, _ = play(
        calls.start("hello"), pending, unknown, ok({"outcome": "recorded", "result": {"dagRunId": "r1"}})
    )

    assert result == "r1"
    assert [request.path for request in sent] == ["/dags/hello/start", "/commands/c1", "/commands/c1"]


def test_a_pending_command_that_a_scheduler_refuses_is_a_refusal() -> None:
    pending = ok({"commandId": "c1"}, 202)
    refused = ok({"outcome": "refused", "result": {}, "error": {"code": "already_exists", "message": "run r1 exists"}})

    with pytest.raises(RequestRefused, match="run r1 exists"):
        play(calls.enqueue("hello", run_id="r1"), pending, refused)


def test_a_pending_command_that_becomes_a_dead_letter_fails_as_one_that_does_at_once() -> None:
    pending = ok({"commandId": "c1"}, 202)
    about = {"code": "internal_error", "message": "It is a dead letter"}

    with pytest.raises(RequestRefused, match="dead letter") as later:
        play(calls.enqueue("hello"), pending, ok({"outcome": "failed", "result": {}, "error": about}))
    with pytest.raises(RequestRefused, match="dead letter") as at_once:
        play(calls.enqueue("hello"), ok(about, 500))

    assert (later.value.status, later.value.code) == (at_once.value.status, at_once.value.code)


def test_times_make_one_page_without_cursor_and_limit() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    _, (request,), _ = play(calls.runs(since=at), ok({"dagRuns": []}))

    assert request.query == {"fromDate": "1772323200"}
    with pytest.raises(ValueError, match="cannot be combined"):
        calls.runs(until=at, limit=5)


def test_parameters_by_name_and_by_position_are_json() -> None:
    for params in (MappingProxyType({"NAME": "Ada"}), ["Ada", 1]):
        _, (request,), _ = play(calls.start("hello", params=params), ok({"dagRunId": "r1"}))
        assert json.loads(json.loads(request.body or b"")["params"]) == params


def test_neither_a_pause_nor_a_connection_goes_beyond_the_deadline() -> None:
    limits = stream_options("", time.monotonic() + 2)["timeout"]

    assert limits.connect <= 2
    assert limits.read <= 2
    assert pause_until(time.monotonic() + 2, 5.0) <= 2
    assert pause_until(time.monotonic() - 1, 5.0) == 0
    assert pause_until(None, 5.0) == 5.0


def test_a_wait_for_a_gateway_that_says_nothing_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_s: list[float] = []

    def silent(_transport: object, request: httpx.Request) -> httpx.Response:
        asked_s.append(request.extensions["timeout"]["read"])
        raise httpx.ReadTimeout("timed out")

    async def silent_too(transport: object, request: httpx.Request) -> httpx.Response:
        return silent(transport, request)

    async def on_asyncio() -> None:
        async with AsyncClient() as client:
            await client.wait("a", "r", timeout_s=0.1)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", silent)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", silent_too)
    with Client() as client, pytest.raises(ConnectionFailed, match="GET /dag-runs/a/r: timed out"):
        client.wait("a", "r", timeout_s=0.1)
    with pytest.raises(ConnectionFailed, match="timed out"):
        run_coroutine(on_asyncio())

    assert asked_s == [5, 5], "one try each: there is no time for another one"


def test_a_page_instead_of_an_event_stream_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter(range(3))

    def page(_transport: object, _request: httpx.Request) -> httpx.Response:
        next(asked)
        return httpx.Response(200, html="<p>Log in")

    async def page_too(transport: object, request: httpx.Request) -> httpx.Response:
        return page(transport, request)

    async def on_asyncio() -> None:
        async with AsyncClient() as client:
            await anext(client.events())

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", page)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", page_too)
    with Client() as client, pytest.raises(ClientError, match="text/html.* is this a Dagway gateway"):
        next(client.run_events("a", "r"))
    with pytest.raises(ClientError, match="is this a Dagway gateway"):
        run_coroutine(on_asyncio())


def test_an_answer_that_is_nested_too_deeply_is_none_of_a_gateway() -> None:
    deep = b"[" * 50_000

    with pytest.raises(ClientError, match="is not JSON"):
        play(calls.dags(), HttpAnswer(200, deep))
    with pytest.raises(ConnectionFailed, match="the gateway answered 502"):
        play(calls.dags(), *[HttpAnswer(502, deep)] * 5)


def test_a_start_that_waits_is_not_given_up_before_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    read_s: list[float] = []

    def late(_transport: object, request: httpx.Request) -> httpx.Response:
        read_s.append(request.extensions["timeout"]["read"])
        return httpx.Response(408, json={"code": "timeout", "message": "The run r has not ended yet; it continues"})

    async def late_too(transport: object, request: httpx.Request) -> httpx.Response:
        return late(transport, request)

    async def on_asyncio() -> None:
        async with AsyncClient() as client:
            await client.execute_dag_sync("a", timeout=3600)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", late)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", late_too)
    with Client() as client, pytest.raises(RequestRefused, match="has not ended yet"):
        client.execute_dag_sync("a", timeout=3600)
    with pytest.raises(RequestRefused, match="has not ended yet"):
        run_coroutine(on_asyncio())

    assert len(read_s) == 2
    assert min(read_s) >= 3660


def test_names_are_quoted_and_absent_parameters_left_out() -> None:
    _, (request,), _ = play(calls.runs(name="a/b", limit=5), ok({"dagRuns": []}))
    _, (stop,), _ = play(calls.stop("a/b ü", "r?1"), ok({}))

    assert request.query == {"name": "a/b", "cursor": "", "limit": "5"}
    assert stop.path == "/dag-runs/a%2Fb%20%C3%BC/r%3F1/stop"


def test_a_name_that_is_empty_or_of_dots_makes_no_request_for_something_else() -> None:
    for name in ("", ".", ".."):
        with pytest.raises(ValueError, match="cannot be a name or an id"):
            calls.delete_dag(name)
        with pytest.raises(ValueError, match="cannot be a name or an id"):
            calls.stop("a", name)
    assert calls.dag("...").path == "/dags/..."


def test_a_token_that_no_request_can_carry_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="^token: there is a line break") as refused:
        Client("http://127.0.0.1:1", token="s3cret\n")
    assert "s3cret" not in str(refused.value)
