"""The http and chat executors against a real server, through a real worker."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.control import StopAttempt
from shared.contracts.events import AttemptFinished
from shared.language.model import Secret, Step, StepCommand
from tests.harness.counterparts import HttpCounterpart, certificate, silent_port
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.worker_rig import Rig, task


def http(method: str, url: str, config: dict[str, Any] | None = None, script: str = "") -> Step:
    text = f"{method} {url}"
    return Step(
        name="s",
        type="http",
        commands=(StepCommand(text=text, argv=(method, url)),),
        config=config or {},
        script=script,
    )


def test_status_headers_and_body_are_printed_without_a_blank_line(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/text/${{P}}"), params=(("P", "x"),)))

    assert finished.outcome == "succeeded", finished.error
    first, *headers, body = rig.log(finished, "stdout").decode().split("\n")
    assert (first, body) == ("200 OK", "text x")
    assert "X-Kind: text\r" in headers
    assert headers == sorted(headers)
    assert all(header.endswith("\r") for header in headers)


def test_header_names_are_sent_and_shown_in_canonical_form(rig: Rig, server: HttpCounterpart) -> None:
    config = {"json": True, "headers": {"X-API-Key": "k", "x-webhook-ID": "w"}}
    finished = rig.run(task(http("GET", f"{server.url}/echo", config)))

    assert finished.outcome == "succeeded", finished.error
    sent = server.requests[0]["headers"]
    assert (sent["X-Api-Key"], sent["X-Webhook-Id"]) == ("k", "w")
    assert all(name == name.title() for name in json.loads(rig.log(finished, "stdout"))["headers"])


def test_body_headers_and_query_come_from_variables_and_a_map_becomes_json(rig: Rig, server: HttpCounterpart) -> None:
    config = {
        "headers": {"Authorization": "Bearer ${T}"},
        "query": {"q": "a b&${P}"},
        "body": {"name": "${P}", "list": [1, "${P}"]},
        "json": True,
    }
    finished = rig.run(task(http("POST", f"{server.url}/echo", config), params=(("P", "v"), ("T", "t"))))

    shown = json.loads(rig.log(finished, "stdout"))
    assert (shown["status_code"], shown["headers"]["Content-Type"]) == (200, ["application/json"])
    assert json.loads(shown["body"]["body"]) == {"name": "v", "list": [1, "v"]}
    assert shown["body"]["query"] == {"q": ["a b&v"]}
    assert server.requests[0]["headers"]["Authorization"] == "Bearer t"
    assert server.requests[0]["headers"]["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_is_plain_text_unless_the_step_says_otherwise(rig: Rig, server: HttpCounterpart, method: str) -> None:
    own = {"body": "<a/>", "headers": {"content-type": "application/xml"}}
    for config in ({"body": "a"}, {}, own):
        finished = rig.run(task(http(method, f"{server.url}/echo", config)))
        assert finished.outcome == "succeeded", finished.error

    kinds = [request["headers"]["Content-Type"] for request in server.requests]
    assert kinds == ["text/plain; charset=utf-8", "text/plain; charset=utf-8", "application/xml"]
    assert [request["body"] for request in server.requests] == ["a", "", "<a/>"]


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_some_methods_send_no_body(rig: Rig, server: HttpCounterpart, method: str) -> None:
    finished = rig.run(task(http(method, f"{server.url}/echo", {"body": "a"})))

    assert finished.outcome == "succeeded", finished.error
    (request,) = server.requests
    assert request["body"] == ""
    assert not {"Content-Type", "Content-Length"} & set(request["headers"])


def test_values_other_than_texts_are_sent_as_dagu_sends_them(rig: Rig, server: HttpCounterpart) -> None:
    config = {
        "headers": {"X-T": True, "X-F": False, "X-N": None, "X-D": 1.0},
        "query": {"t": True, "d": 1.5},
        "body": 5,
        "timeout": -1,
    }
    step = http("POST", f"{server.url}/echo", config)
    more = step.model_copy(update={"commands": (StepCommand(text="", argv=(*step.commands[0].argv, "more")),)})
    finished = rig.run(task(more))

    assert finished.outcome == "succeeded", finished.error
    (request,) = server.requests
    assert [request["headers"][f"X-{name}"] for name in "TFND"] == ["1", "0", "", "1"]
    assert (request["query"], request["body"]) == ({"t": ["1"], "d": ["1.5"]}, "5")


def test_json_is_printed_with_sorted_keys_and_escaped_for_html(rig: Rig, server: HttpCounterpart) -> None:
    body = {"z": 1.0, "a": ["<&>", 1.5], "é": {}}
    finished = rig.run(task(http("POST", f"{server.url}/same", {"json": True, "body": body})))

    assert finished.outcome == "succeeded", finished.error
    said = rig.log(finished, "stdout").decode()
    assert said.startswith('{\n "status_code": 200,\n "headers": {\n  "Content-Length": [')
    assert said.endswith(
        '],\n  "X-Kind": [\n   "same"\n  ]\n },\n "body": {\n  "a": [\n   "\\u003c\\u0026\\u003e",\n   1.5\n  ],\n'
        '  "z": 1,\n  "é": {}\n }\n}\n'
    )


def test_the_script_replaces_the_config_altogether(rig: Rig, server: HttpCounterpart) -> None:
    script = '{"silent": true, "headers": {"X-A": "${P}"}}'
    finished = rig.run(task(http("GET", f"{server.url}/text/b", {"json": True}, script), params=(("P", "v"),)))

    assert rig.log(finished, "stdout") == b"text b"
    assert server.requests[0]["headers"]["X-A"] == "v"


def test_another_status_than_2xx_fails_after_its_output(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/status/404", {"silent": True})))

    assert (finished.outcome, finished.exit_code) == ("failed", 1)
    assert finished.error == 'failed to execute step "s": http status code not 2xx: 404'
    assert rig.log(finished, "stdout").startswith(b"404 Not Found\n")
    assert rig.log(finished, "stdout").endswith(b"the body")


def test_json_output_requires_a_json_body(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/text/x", {"json": True})))

    assert finished.outcome == "failed"
    assert "the body of the response is not JSON" in finished.error


def test_redirects_are_followed_and_credentials_do_not_go_to_another_host(rig: Rig, server: HttpCounterpart) -> None:
    config = {"headers": {"Authorization": "secret"}, "silent": True}

    same = rig.run(task(http("GET", f"{server.url}/to/text/there", config)))
    other = rig.run(task(http("GET", f"{server.url}/away/text/there", config)))

    assert rig.log(same, "stdout") == rig.log(other, "stdout") == b"text there"
    assert "Authorization" in server.requests[1]["headers"]
    assert "Authorization" not in server.requests[3]["headers"]


def test_debug_shows_both_sides_but_no_credentials(rig: Rig, server: HttpCounterpart) -> None:
    config = {"headers": {"Authorization": "hidden"}, "debug": True}
    finished = rig.run(task(http("GET", f"{server.url}/text/x", config)))

    said = rig.log(finished, "stderr").decode()
    assert "> GET http" in said
    assert "> Authorization: ***" in said
    assert "< 200 OK" in said
    assert "hidden" not in said


@pytest.mark.parametrize(("retries", "outcome"), [(2, "succeeded"), (1, "failed"), (0, "failed")])
def test_an_overloaded_server_is_retried_as_often_as_the_step_says(
    rig: Rig, server: HttpCounterpart, retries: int, outcome: str
) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/flaky/3", {"retries": retries})))

    assert finished.outcome == outcome
    assert len(server.requests) == retries + 1


def test_a_post_is_never_repeated(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("POST", f"{server.url}/flaky/2", {"retries": 3})))

    assert (finished.outcome, len(server.requests)) == ("failed", 1)


def test_the_timeout_limits_the_whole_exchange_even_while_bytes_arrive(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/drip", {"timeout": 0.5})))

    assert (finished.outcome, finished.exit_code) == ("failed", 1)
    assert finished.error.endswith("http request timed out after 0.5s")
    assert server.broken.wait(PATIENCE_S)


def test_the_step_timeout_ends_it_with_its_own_code(rig: Rig) -> None:
    with silent_port() as port:
        finished = rig.run(task(http("GET", f"http://127.0.0.1:{port}/"), timeout_s=0.3))

    assert (finished.outcome, finished.exit_code) == ("timed_out", 124)


def test_a_stop_closes_the_connection(rig: Rig, server: HttpCounterpart) -> None:
    rig.give(task(http("GET", f"{server.url}/drip"), token="drip"))
    eventually(lambda: any(chunk.data.startswith(b"200 OK\n") for chunk in rig.logs("drip")))

    rig.broadcast("worker.w1", StopAttempt(token="drip"))

    assert (rig.finished("drip").outcome, rig.finished("drip").exit_code) == ("aborted", -1)
    assert server.broken.wait(PATIENCE_S)
    assert rig.log(rig.finished("drip"), "stdout").startswith(b"200 OK\n")


def test_an_unreachable_server_fails_the_step_and_an_invalid_step_is_broken(rig: Rig) -> None:
    absent = rig.run(task(http("GET", "http://127.0.0.1:1/")))
    wrong = rig.run(task(http("GET", "ftp://127.0.0.1/")))

    assert (absent.outcome, absent.exit_code) == ("failed", 1)
    assert absent.error.endswith("http request failed: cannot connect to 127.0.0.1, port 1: Connection refused")
    assert (wrong.outcome, wrong.error) == (
        "broken",
        "command: the URL must begin with http:// or https://, not 'ftp://127.0.0.1/'",
    )


def test_certificates_are_checked_unless_the_step_says_otherwise(rig: Rig, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with HttpCounterpart((cert, key)) as server:
        strict = rig.run(task(http("GET", f"{server.url}/text/x")))
        trusted = rig.run(task(http("GET", f"{server.url}/text/x", {"caFile": cert, "silent": True})))
        careless = rig.run(task(http("GET", f"{server.url}/text/x", {"skipTLSVerify": True, "silent": True})))

    assert strict.outcome == "failed"
    assert "certificate" in strict.error
    assert rig.log(trusted, "stdout") == rig.log(careless, "stdout") == b"text x"


def test_a_file_of_an_authority_is_named_from_the_directory_of_the_step(rig: Rig, tmp_path: Path) -> None:
    pair = certificate(tmp_path)
    rig.work_dir().joinpath("ca.pem").write_bytes(Path(pair[0]).read_bytes())
    with HttpCounterpart(pair) as server:
        found = rig.run(task(http("GET", f"{server.url}/text/x", {"caFile": "ca.pem", "silent": True})))
        absent = rig.run(task(http("GET", f"{server.url}/text/x", {"caFile": "none.pem"})))

    assert rig.log(found, "stdout") == b"text x"
    assert absent.error == f"cannot read {rig.work_dir() / 'none.pem'}: No such file or directory"


def test_a_secret_in_a_url_is_not_in_the_error(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_VALUE", "hunter2")
    secrets = (Secret(name="T", provider="env", key="TOKEN_VALUE"),)
    finished = rig.run(task(http("GET", "http://127.0.0.1:1/${T}"), secrets=secrets))

    assert finished.outcome == "failed"
    assert "hunter2" not in finished.error


def chat(server: HttpCounterpart, content: str, **llm: Any) -> Step:
    settings = {"provider": "local", "model": "m", "baseURL": f"{server.url}/v1", **llm}
    return Step(name="s", type="chat", llm=settings, messages=({"role": "user", "content": content},))


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_is_printed_with_a_newline(rig: Rig, server: HttpCounterpart, stream: bool) -> None:
    step = chat(server, "hello ${P}", system="be ${P}", temperature=0.5, maxTokens=7, stream=stream)
    finished = rig.run(task(step, params=(("P", "you"),)))

    assert rig.log(finished, "stdout").decode().split() == ["hello", "you"]
    assert rig.log(finished, "stdout").endswith(b"\n")
    asked = json.loads(server.requests[0]["body"])
    assert asked["messages"] == [{"role": "system", "content": "be you"}, {"role": "user", "content": "hello you"}]
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("m", 0.5, 7)


def test_the_key_comes_from_a_secret_and_reasoning_is_shown_on_request(
    rig: Rig, server: HttpCounterpart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_VALUE", "sk-1")
    step = chat(server, "x", provider="openai", thinking={"enabled": True, "includeInOutput": True})
    secrets = (Secret(name="OPENAI_API_KEY", provider="env", key="KEY_VALUE"),)

    without, finished = rig.run(task(step)), rig.run(task(step, secrets=secrets))

    assert "OPENAI_API_KEY" in without.error
    assert server.requests[0]["headers"]["Authorization"] == "Bearer sk-1"
    assert rig.log(finished, "stdout") == b"hm x \n"


@pytest.mark.parametrize(
    ("provider", "thinking", "asked"),
    [
        ("openai", {"enabled": True}, {"reasoning_effort": "medium"}),
        ("openai", {"enabled": False, "effort": "high"}, {}),
        ("openrouter", {"enabled": True, "effort": "low"}, {"reasoning": {"effort": "low"}}),
        ("openrouter", {"enabled": True, "budgetTokens": 9}, {"reasoning": {"effort": "medium", "max_tokens": 9}}),
        ("local", {"enabled": True, "effort": "high"}, {}),
    ],
)
def test_each_provider_is_asked_for_reasoning_in_its_own_way(
    rig: Rig, server: HttpCounterpart, provider: str, thinking: dict[str, Any], asked: dict[str, Any]
) -> None:
    step = chat(server, "x", provider=provider, apiKeyName="KEY", thinking=thinking)
    finished = rig.run(task(step, env=(("KEY", "k"),)))

    assert finished.outcome == "succeeded", finished.error
    body = json.loads(server.requests[0]["body"])
    assert {name: value for name, value in body.items() if name.startswith("reasoning")} == asked


def test_a_refusal_and_an_incomplete_answer_are_failures(rig: Rig, server: HttpCounterpart) -> None:
    refused = rig.run(task(chat(server, "x", model="unknown")))
    broken = rig.run(task(chat(server, "x BREAK")))

    assert 'answered 404: {"error": "no such model"}' in refused.error
    assert broken.error.endswith("the answer is incomplete: the model's endpoint closed the stream early")


@pytest.mark.parametrize(
    ("stream", "answer"),
    [
        (True, 'data: {"choices": [1]}'),
        (True, f"data: {'[' * 100_000}"),
        (False, '{"choices": [{"message": "hi"}]}'),
        (False, "<html>hello</html>"),
    ],
)
def test_an_endpoint_that_is_no_model_fails_the_step(
    rig: Rig, server: HttpCounterpart, answer: str, *, stream: bool
) -> None:
    finished = rig.run(task(chat(server, answer, model="strange", stream=stream)))

    assert (finished.outcome, finished.exit_code) == ("failed", 1)
    assert "the model's endpoint sent no chat answer" in finished.error


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_without_end_fails_the_step_before_it_fills_the_memory(
    rig: Rig, server: HttpCounterpart, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    monkeypatch.setattr("services.worker.executors.chat._MOST_ANSWER", 80)
    short, long = (rig.run(task(chat(server, "some words " * times, stream=stream))) for times in (1, 8))

    assert (short.outcome, long.outcome) == ("succeeded", "failed"), (short.error, long.error)
    assert "larger than 80 bytes" in long.error or "longer than 80 characters" in long.error


def test_an_answer_is_printed_while_it_arrives_and_a_stop_ends_it(rig: Rig, server: HttpCounterpart) -> None:
    rig.give(task(chat(server, "first HANG last"), token="hang"))
    eventually(lambda: any(chunk.data == b"first " for chunk in rig.logs("hang")))

    rig.broadcast("worker.w1", StopAttempt(token="hang"))

    finished: AttemptFinished = rig.finished("hang")
    assert finished.outcome == "aborted"
    assert server.broken.wait(PATIENCE_S)


def test_an_endpoint_that_answers_later_is_retried(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(chat(server, "hello", model="busy")))

    assert (finished.outcome, rig.log(finished, "stdout")) == ("succeeded", b"hello \n")
    assert len(server.requests) == 3


def test_a_stop_ends_the_wait_before_a_retry(rig: Rig, server: HttpCounterpart) -> None:
    rig.give(task(chat(server, "hello", model="busy for long"), token="busy"))
    eventually(lambda: server.requests != [])

    rig.broadcast("worker.w1", StopAttempt(token="busy"))

    assert rig.finished("busy").outcome == "aborted"
    assert len(server.requests) == 1


def test_earlier_messages_go_first_after_the_system_message(
    rig: Rig, server: HttpCounterpart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "hush")
    history = [("system", "be kind"), ("user", "one"), ("assistant", "1")]
    earlier = {"history": [{"role": role, "content": content} for role, content in history]}
    secrets = (Secret(name="S", provider="env", key="SECRET_OF_TEST"),)
    rude = ({"role": "system", "content": "be rude"}, {"role": "user", "content": "two $S"})
    general = chat(server, "two $S", system="be brief")
    told = []
    for step in (chat(server, "two $S"), general, general.model_copy(update={"messages": rude})):
        finished = rig.run(task(step, options=earlier, secrets=secrets))
        asked = json.loads(server.requests[-1]["body"])["messages"]
        told.append(asked[0]["content"])
        assert [one["content"] for one in asked[1:]] == ["one", "1", "two hush"]
        said = [(one.role, one.content) for one in finished.messages]
        assert said == [("system", told[-1]), ("user", "two *******"), ("assistant", "two ******* ")]
    assert told == ["be kind", "be brief", "be rude"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"headers": ["a"]}, "headers must be a map of names to values, not list"),
        ({"query": "a=b"}, "query must be a map of names to values, not string"),
        ({"timeout": "inf"}, "timeout must be a number of seconds, not 'inf'"),
        ({"timeout": "nan"}, "timeout must be a number of seconds, not 'nan'"),
        ({"timeout": "1e30"}, "timeout must be a number of seconds, not '1e30'"),
    ],
)
def test_an_option_that_cannot_be_used_is_named_in_the_error(rig: Rig, config: dict[str, Any], told: str) -> None:
    finished = rig.run(task(http("GET", "http://127.0.0.1:1/", config)))

    assert (finished.outcome, finished.error) == ("broken", told)
