"""The reasons of failures of the http executor, against a real server."""

import json
from typing import Any

from shared.language.model import Step, StepCommand
from tests.harness.counterparts import HttpCounterpart
from tests.harness.worker_rig import Rig, task


def http(method: str, url: str, **config: Any) -> Step:
    return Step(name="s", type="http", commands=(StepCommand(text="", argv=(method, url)),), config=config)


def test_a_body_in_gzip_that_was_cut_off_is_a_failure(rig: Rig, server: HttpCounterpart) -> None:
    whole, cut, empty = (rig.run(task(http("GET", f"{server.url}/gzip/{size}", silent=True))) for size in ("", 40, 0))

    assert (whole.outcome, rig.log(whole, "stdout")) == ("succeeded", b"first second")
    assert cut.outcome == "failed"
    assert cut.error.endswith(": the body is not what its Content-Encoding says: it ended early")
    assert empty.outcome == "succeeded"


def test_an_error_says_what_failed_in_plain_words(rig: Rig, server: HttpCounterpart) -> None:
    urls = ["http://127.0.0.1:1/", "http://no.such.host.invalid/", f"{server.url}/silence/", f"{server.url}/short/"]
    errors = [rig.run(task(http("GET", url))).error.partition("http request failed: ")[2] for url in urls]

    assert errors[0] == "cannot connect to 127.0.0.1, port 1: Connection refused"
    assert errors[1].startswith("the name no.such.host.invalid cannot be resolved: ")
    assert errors[2] == "the server closed the connection without an answer"
    assert errors[3] == "the body ended early: 3 bytes came, 7 more were announced"


def test_before_a_retry_the_body_of_an_error_is_not_read(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/overloaded/", silent=True, retries=1, timeout=20)))

    assert (finished.outcome, rig.log(finished, "stdout")) == ("succeeded", b"at last"), finished.error


def test_interim_responses_are_passed_over(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/early/100,102,103,103", json=True)))

    assert (finished.outcome, finished.error) == ("succeeded", "")
    answer = json.loads(rig.log(finished, "stdout"))
    assert (answer["status_code"], answer["body"]) == (200, [1])
    assert answer["headers"]["X-Kind"] == ["last"]
    assert "Link" not in answer["headers"]
