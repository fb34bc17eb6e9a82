"""Texts of a request that try to become a header of the answer, or to lead the browser elsewhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from services.api.settings import Settings
from tests.conformance.rest_live import SECRET
from tests.conformance.rest_stack import NOW, Stack, open_stack

INJECTED = "x\r\nSet-Cookie: injected=1\r\n\r\n<script>alert(1)</script>"
HEADERS: dict[str, dict[str, Any]] = {
    "request id": {"environ_overrides": {"HTTP_X_REQUEST_ID": INJECTED}},
    "idempotency key": {"environ_overrides": {"HTTP_IDEMPOTENCY_KEY": INJECTED, "HTTP_PREFER": "respond-async"}},
    "preference": {"environ_overrides": {"HTTP_PREFER": f"respond-async;{INJECTED}"}},
    "origin": {"environ_overrides": {"HTTP_ORIGIN": INJECTED}},
    "host": {"environ_overrides": {"HTTP_HOST": f"localhost:80{INJECTED}"}},
    "forwarded protocol": {"environ_overrides": {"HTTP_X_FORWARDED_PROTO": f"https{INJECTED}"}},
    "entity tag": {"environ_overrides": {"HTTP_IF_MATCH": INJECTED}},
    "cookie": {"environ_overrides": {"HTTP_COOKIE": f"dagway-session={INJECTED}"}},
    "query": {"query_string": f"remoteNode={quote(INJECTED)}&wait={quote(INJECTED)}"},
    "body": {"json": {"name": INJECTED, "username": INJECTED, "dagRunId": INJECTED, "spec": INJECTED}},
}
ELSEWHERE = (
    "//evil.example",
    "//evil.example/%2e%2e",
    "/%2f%2fevil.example",
    "/%5c%5cevil.example",
    "/\\evil.example",
    "///evil.example//",
    "/docs//evil.example",
    "/docs/%2f%2fevil.example/",
    "/.evil.example",
    "/@evil.example",
    "/https://evil.example/",
    "/login?next=//evil.example&originalURL=//evil.example&redirect_uri=//evil.example",
    "/oidc-callback?state=x&originalURL=//evil.example",
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = Settings(auth_mode="builtin", token_secret=SECRET, token="t")
    folder: Path = tmp_path_factory.mktemp("injection")
    with open_stack(folder, settings=settings, reply_timeout_s=0.0) as opened:
        opened.add_dag("a")
        # Without users, a login waits for a scheduler that creates the first one.
        opened.add("users", id="u", username="u", role="viewer", password_hash="x", created_at=NOW, updated_at=NOW)
        yield opened


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/dags/a/start"),
        ("GET", f"/dags/{quote(INJECTED, safe='')}"),
        ("PUT", "/dags/a/spec"),
        ("POST", "/auth/session"),
        ("POST", "/auth/logout"),
    ],
)
def test_no_text_becomes_a_header(stack: Stack, method: str, path: str, name: str) -> None:
    given = {"json": {}, **HEADERS[name]} if method != "GET" else HEADERS[name]

    response = stack.api(method, path, headers={"Authorization": "Bearer t"}, **given)

    assert response.status_code < 500
    assert not any("injected=1" in each and "\n" in each for each in response.headers.values())
    assert "injected" not in dict(each.partition("=")[::2] for each in response.headers.getlist("Set-Cookie"))
    assert not response.data or response.mimetype == "application/json"


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_path_leads_to_another_server(stack: Stack, path: str) -> None:
    response = stack.client.get(path, base_url="http://localhost")

    to = urlsplit(response.headers.get("Location", ""))
    assert to.netloc in {"", "localhost"}
    assert not to.path.startswith(("//", "/\\"))
