"""Requests that a browser may have sent for a page of another site, on each kind of gateway."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.api.browser_guard import BrowserRules
from services.api.settings import Settings
from tests.conformance.rest_live import SECRET
from tests.conformance.rest_stack import Stack, open_stack

OPEN = Settings()
BASIC = Settings(basic_username="u", basic_password="p")
TOKEN = Settings(token="the-token")
BY_BASIC, BY_TOKEN = {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer the-token"}
EVIL = "http://evil.example"
FROM_ELSEWHERE: dict[str, dict[str, str]] = {
    "another site": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
    "another port of this host": {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    "a file or a sandboxed frame": {"Origin": "null"},
    "an old browser": {"Origin": EVIL},
    "an image": {"Sec-Fetch-Site": "cross-site"},
    "a rebound name": {"Host": "evil.example", "Origin": EVIL, "Sec-Fetch-Site": "same-origin"},
    "a rebound name with a port": {"Host": "evil.example:8080"},
    "a Host that is none": {"Host": "evil.example@localhost"},
}
FROM_HERE: dict[str, dict[str, str]] = {
    "a program": {},
    "our page": {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
    "our page in an old browser": {"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"},
    "the address bar": {"Sec-Fetch-Site": "none"},
    "behind TLS": {"Host": "localhost", "Origin": "https://localhost"},
    "an address": {"Host": "10.1.2.3:8080"},
    "IPv6": {"Host": "[::1]:8080", "Origin": "http://[::1]:8080"},
}


@pytest.fixture(params=[(OPEN, {}), (BASIC, BY_BASIC)], ids=["open", "basic"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Stack, dict[str, str]]]:
    """A gateway that needs no credential that a page must know, with what a browser sends by itself."""
    settings, by_itself = request.param
    with open_stack(tmp_path, settings=settings) as stack:
        yield stack, by_itself


def status(stack: Stack, method: str, path: str, headers: dict[str, str], **options: Any) -> int:
    return int(stack.api(method, path, headers=headers, **options).status_code)


def test_other_sites_neither_read_nor_write(guarded: tuple[Stack, dict[str, str]]) -> None:
    stack, by_itself = guarded
    for name, told in FROM_ELSEWHERE.items():
        headers = by_itself | told
        for method, path in (("GET", "/dags"), ("POST", "/dags/a/start"), ("GET", "/dag-runs/a/r/dequeue")):
            response = stack.api(method, path, headers=headers)
            assert (response.status_code, response.get_json()["code"]) == (403, "forbidden"), (name, method, path)
            assert "Access-Control-Allow-Origin" not in response.headers
    assert stack.seen == []


def test_our_pages_and_programs_are_served(guarded: tuple[Stack, dict[str, str]]) -> None:
    stack, by_itself = guarded

    found = {name: status(stack, "GET", "/dags", by_itself | told) for name, told in FROM_HERE.items()}

    assert found == dict.fromkeys(FROM_HERE, 200)


OTHER_TYPES = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]


@pytest.mark.parametrize("kind", OTHER_TYPES)
@pytest.mark.parametrize(
    "told",
    [
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-origin"},
        {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
    ],
    ids=["an origin", "a site", "a name"],
)
def test_what_a_browser_sends_must_be_json(
    guarded: tuple[Stack, dict[str, str]], told: dict[str, str], kind: str | None
) -> None:
    stack, by_itself = guarded

    response = stack.api("POST", "/dags/a/start", headers=by_itself | told, data="{}", content_type=kind)

    assert response.status_code == 415
    assert "Content-Type: application/json" in response.get_json()["message"]
    assert stack.seen == []


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_a_program_sends_json_under_any_type(guarded: tuple[Stack, dict[str, str]], kind: str | None) -> None:
    """As with Dagu: ``curl -d`` alone says that it sends a form."""
    stack, by_itself = guarded
    headers = by_itself | {"User-Agent": "curl/8.14.1"}

    response = stack.api("POST", "/dags/a/start", headers=headers, data='{"params": "A=1"}', content_type=kind)

    assert response.status_code == 200
    assert stack.command.params == "A=1"


def test_the_body_of_a_get_does_not_matter(guarded: tuple[Stack, dict[str, str]]) -> None:
    stack, by_itself = guarded

    assert status(stack, "GET", "/dags", by_itself, data="{", content_type="text/plain") == 200


def test_a_token_is_accepted_from_any_page_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    with open_stack(tmp_path, settings=TOKEN) as stack:
        for told in FROM_ELSEWHERE.values():
            response = stack.api("GET", "/dags", headers=BY_TOKEN | told)
            assert response.status_code == 200
            if "Origin" in told:
                assert response.headers["Access-Control-Allow-Origin"] == "*"
                assert "Access-Control-Allow-Credentials" not in response.headers
        started = stack.api("POST", "/dags/a/start", headers=BY_TOKEN, data="{}", content_type="text/plain")
        assert started.status_code == 200
        assert status(stack, "GET", "/dags", {"Authorization": "Bearer other", "Origin": EVIL}) == 401


def test_a_made_up_token_opens_nothing_where_none_is_needed(tmp_path: Path) -> None:
    with open_stack(tmp_path) as stack:
        assert status(stack, "GET", "/dags", {"Authorization": "Bearer x", "Origin": EVIL}) == 403


def test_pages_of_other_origins_can_log_in_with_json(tmp_path: Path) -> None:
    settings = Settings(auth_mode="builtin", token_secret=SECRET)
    with open_stack(tmp_path, settings=settings) as stack:
        body = {"username": "nobody", "password": "wrong password"}
        stack.add("users", id="u", username="a", role="viewer", password_hash="x", created_at=stack.deps.clock(),
                  updated_at=stack.deps.clock())  # fmt: skip
        headers = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}
        response = stack.api("POST", "/auth/login", json=body, headers=headers)
        assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (401, "*")
        assert status(stack, "POST", "/auth/login", headers, data="{}", content_type="text/plain") == 415


def test_names_and_origins_can_be_allowed(tmp_path: Path) -> None:
    rules = BrowserRules(frozenset({"flows.example"}), frozenset({"https://dash.example"}))
    with open_stack(tmp_path, settings=Settings(browser=rules)) as stack:
        assert status(stack, "GET", "/dags", {"Host": "Flows.example:8443"}) == 200
        headers = {"Host": "flows.example", "Origin": "https://dash.example", "Sec-Fetch-Site": "cross-site"}
        response = stack.api("GET", "/dags", headers=headers)
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] == "https://dash.example"
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in response.headers["Vary"]


def test_our_pages_have_no_other_name_and_cannot_be_read_by_others(tmp_path: Path) -> None:
    with open_stack(tmp_path) as stack:
        assert stack.client.get("/", headers={"Host": "evil.example"}).status_code == 403
        linked = stack.client.get("/", headers={"Sec-Fetch-Site": "cross-site", "Origin": EVIL})
        assert linked.status_code == 200
        assert "Access-Control-Allow-Origin" not in linked.headers
        assert stack.client.get("/healthz", headers={"Host": "evil.example"}).status_code == 200
    with open_stack(tmp_path / "other", settings=BASIC) as stack:
        assert stack.client.get("/", headers={"Host": "flows.example"}).status_code == 200


def test_the_token_of_a_webhook_is_checked_before_its_body(tmp_path: Path) -> None:
    with open_stack(tmp_path, settings=Settings(auth_mode="builtin", token_secret=SECRET)) as stack:
        for headers in ({}, {"Authorization": "Bearer dagu_wh_wrong"}):
            for data in ("{", "[]", '{"payload": 5}'):
                response = stack.api("POST", "/webhooks/a", data=data, headers=headers)
                assert (response.status_code, response.get_json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", ["/api/v2/docs", "/"])
def test_no_page_can_be_framed_by_another_site(tmp_path: Path, path: str) -> None:
    with open_stack(tmp_path) as stack:
        policy = stack.client.get(path).headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
