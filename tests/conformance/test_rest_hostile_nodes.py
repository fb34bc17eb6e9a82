"""A remote node that somebody has taken over cannot act in the browsers of this server's users."""

from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from services.api.settings import RemoteNode, Settings
from tests.conformance.rest_stack import Stack, open_stack
from tests.harness.loopback import QuietHandler, serving

SCRIPT = b"<script>fetch('/api/v2/users')</script>"


class HostileNode(ThreadingHTTPServer):
    """A remote node that sends what it was told to."""

    def __init__(self) -> None:
        self.status, self.body = 200, SCRIPT
        self.headers: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), HostileAnswers)


class HostileAnswers(QuietHandler):
    server: HostileNode

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        for name, value in (*self.server.headers, ("Content-Length", str(len(self.server.body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)


@pytest.fixture(scope="module")
def node() -> Iterator[HostileNode]:
    running = HostileNode()
    with serving(running):
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, node: HostileNode) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    far = RemoteNode(name="far", api_base_url=f"http://127.0.0.1:{node.server_port}/api/v2")
    with open_stack(folder, settings=Settings(remote_nodes=(far,))) as opened:
        yield opened


def answer(stack: Stack, node: HostileNode, status: int, body: bytes, *headers: tuple[str, str]) -> TestResponse:
    node.status, node.body, node.headers = status, body, list(headers)
    return stack.client.get("/api/v2/dags?remoteNode=far")


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "text/javascript",
        "text/plain, text/html",
        "text/plainhtml",
        "",
    ],
)
def test_no_answer_of_a_node_is_a_page_or_a_script(stack: Stack, node: HostileNode, kind: str) -> None:
    got = answer(stack, node, 200, SCRIPT, ("Content-Type", kind))

    assert (got.status_code, got.headers["Content-Type"]) == (200, "application/octet-stream")
    assert got.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("kind", ["application/json", "text/plain; charset=utf-8", "application/x-ndjson"])
def test_what_an_api_answers_keeps_its_type(stack: Stack, node: HostileNode, kind: str) -> None:
    got = answer(stack, node, 200, b"{}", ("Content-Type", kind))

    assert got.headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (777, b'{"message": "x"}', []),
        (404, b'{"message": "\\ud800"}', []),
        (404, b"[" * 100_000, []),
        (302, b"", [("Location", "http://127.0.0.1:1/")]),
    ],
)
def test_an_odd_answer_of_a_node_is_no_failure_of_this_server(
    stack: Stack, node: HostileNode, status: int, body: bytes, headers: list[tuple[str, str]]
) -> None:
    got = answer(stack, node, status, body, *headers)

    assert got.status_code in {200, 302, 404, 502, 777}, got.data
    assert "Location" not in got.headers
