"""The name and the attributes of the session cookie, by the connection and the base path."""

from datetime import UTC, datetime, timedelta

import pytest

from services.api.auth.session_cookie import SessionCookie

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("host", "secure", "base", "name"),
    [
        ("flows.example.org", False, "", "dagway-session"),
        ("flows.example.org", True, "", "__Host-dagway-session"),
        ("flows.example.org", True, "/flows", "__Secure-dagway-session"),
        ("localhost:8080", False, "/flows", "dagway-session-8080"),
        ("[::1]:8080", True, "", "__Host-dagway-session-8080"),
        ("[::1]", False, "", "dagway-session"),
        ("evil:80; a=b", False, "", "dagway-session"),
    ],
)
def test_the_name_says_what_the_browser_guarantees(host: str, secure: bool, base: str, name: str) -> None:
    headers = {"Host": host, "Cookie": f"{name}=mine; other=not"}

    cookie = SessionCookie(headers, secure=secure, base_path=base)

    assert (cookie.name, cookie.token) == (name, "mine")
    given, *attributes = cookie.set("t", now=NOW, ends=NOW + timedelta(hours=1))["Set-Cookie"].split("; ")
    expected = {"HttpOnly", "SameSite=Strict", "Max-Age=3600", f"Path={base or '/'}", *(["Secure"] if secure else [])}
    assert given == f"{name}=t"
    assert {each for each in attributes if not each.startswith("Expires=")} == expected


def test_a_cookie_that_another_connection_could_have_set_is_not_read() -> None:
    planted = {"Host": "flows.example.org", "Cookie": "dagway-session=theirs"}

    assert SessionCookie(planted, secure=True, base_path="").token == ""


def test_a_cookie_of_another_server_that_is_no_text_hides_none_of_ours() -> None:
    headers = {"Host": "flows.example.org", "Cookie": "theirs=caf\xe9; dagway-session=mine; \xff=\xff"}

    assert SessionCookie(headers, secure=False, base_path="").token == "mine"
