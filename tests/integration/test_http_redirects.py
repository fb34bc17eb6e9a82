"""Redirects and logins in URLs of the http executor, against a real server."""

from pathlib import Path
from typing import Any

import pytest

from shared.language.model import Step, StepCommand
from tests.harness.counterparts import HttpCounterpart, certificate
from tests.harness.worker_rig import Rig, task


def http(method: str, url: str, **config: Any) -> Step:
    return Step(name="s", type="http", commands=(StepCommand(text="", argv=(method, url)),), config=config)


def seen(server: HttpCounterpart) -> list[tuple[str, str]]:
    return [(request["method"], request["body"]) for request in server.requests]


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_post_is_not_sent_again_to_where_its_answer_is(rig: Rig, server: HttpCounterpart, status: int) -> None:
    finished = rig.run(task(http("POST", f"{server.url}/moved/{status}/text/there", body="order")))

    assert finished.outcome == "succeeded", finished.error
    assert seen(server) == [("POST", "order"), ("GET", "")]


@pytest.mark.parametrize("status", [307, 308])
def test_a_post_is_sent_to_the_place_to_which_it_moved(rig: Rig, server: HttpCounterpart, status: int) -> None:
    finished = rig.run(task(http("POST", f"{server.url}/moved/{status}/text/there", body="order")))

    assert finished.outcome == "succeeded", finished.error
    assert seen(server) == [("POST", "order"), ("POST", "order")]


def test_a_redirect_keeps_the_cookies_that_it_sets(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/moved/302/text/there", headers={"Cookie": "own=2"})))

    assert finished.outcome == "succeeded", finished.error
    assert [request["headers"]["Cookie"] for request in server.requests] == ["own=2", "own=2; session=1"]


def test_redirects_without_end_fail(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/" + "to/" * 11 + "text/x")))

    assert finished.error == 'failed to execute step "s": http request failed: there were more than 10 redirects'


def test_a_login_in_the_url_is_sent_and_not_shown(rig: Rig, server: HttpCounterpart) -> None:
    place = f"user:p%40ss@127.0.0.1:{server.port}"
    finished = rig.run(task(http("GET", f"http://{place}/to/text/x", debug=True)))
    away = rig.run(task(http("GET", f"http://{place}/away/text/x")))

    assert (finished.outcome, away.outcome) == ("succeeded", "succeeded"), finished.error
    logins = [request["headers"].get("Authorization") for request in server.requests]
    assert logins == ["Basic dXNlcjpwQHNz", "Basic dXNlcjpwQHNz", "Basic dXNlcjpwQHNz", None]
    assert "p%40ss" not in rig.log(finished, "stderr").decode()


def test_options_of_tls_count_for_a_redirect_to_https(rig: Rig, server: HttpCounterpart, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with HttpCounterpart((cert, key)) as secure:
        place = f"{server.url}/secured/localhost:{secure.port}/text/x"
        strict = rig.run(task(http("GET", place)))
        trusted = rig.run(task(http("GET", place, caFile=cert)))

    assert strict.error.endswith("TLS failed: the certificate is not accepted: self-signed certificate")
    assert trusted.outcome == "succeeded", trusted.error


def test_headers_may_have_any_characters_and_a_query_is_encoded_once(rig: Rig, server: HttpCounterpart) -> None:
    finished = rig.run(task(http("GET", f"{server.url}/echo?share=5%&name=a%20b", headers={"X-Name": "Zoë €"})))

    assert finished.outcome == "succeeded", finished.error
    (request,) = server.requests
    assert request["headers"]["X-Name"].encode("latin-1").decode() == "Zoë €"
    assert request["query"] == {"share": ["5%"], "name": ["a b"]}
