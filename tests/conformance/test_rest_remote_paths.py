"""A user reaches on a remote node only what the user's own role allows: the node sees the gateway's credentials."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from services.api.serving.waitress_server import EmbeddedServer
from services.api.settings import RemoteNode, Settings
from tests.conformance.rest_live import SECRET
from tests.conformance.rest_stack import NOW, Stack, open_stack
from tests.harness.client import send_raw
from tests.harness.loopback import QuietHandler, serving


class Node(ThreadingHTTPServer):
    """A remote node that answers everything, and remembers the paths."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Answers)


class Answers(QuietHandler):
    server: Node

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = json.dumps({"users": ["everybody"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def node() -> Iterator[Node]:
    running = Node()
    with serving(running):
        yield running


@pytest.fixture
def stack(tmp_path: Path, node: Node) -> Iterator[Stack]:
    far = RemoteNode(name="far", api_base_url=f"http://127.0.0.1:{node.server_port}/api/v2")
    # The clock of the stack stands still in the past, so tokens must be valid for long.
    settings = Settings(auth_mode="builtin", token_secret=SECRET, token_ttl_s=10**9, remote_nodes=(far,))
    with open_stack(tmp_path, settings=settings) as opened:
        for role in ("viewer", "admin"):
            opened.add("users", id=role, username=role, role=role, password_hash="x", created_at=NOW, updated_at=NOW)
        yield opened


def token(stack: Stack, role: str) -> str:
    user = stack.deps.reads.user(role)
    assert user is not None
    return stack.deps.auth.issue(user)[0]


@pytest.fixture
def port(stack: Stack) -> Iterator[int]:
    """The port of a real server: the paths must arrive as a client sends them."""
    server = EmbeddedServer(stack.app, "127.0.0.1", 0)
    server.start()
    yield server.port
    server.stop()


def ask(stack: Stack, port: int, role: str, path: str) -> int:
    head = f"GET /api/v2{path}?remoteNode=far HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token(stack, role)}"
    return int(send_raw(port, f"{head}\r\nConnection: close\r\n\r\n".encode()).split()[1])


@pytest.mark.parametrize(
    "path",
    [
        "/dag-runs/%2e%2e/users",
        "/dag-runs/%2E%2E/api-keys",
        "/dag-runs/../users",
        "/dag-runs/%252e%252e/users",
        "/dag-runs/%25252e./users",
        "/dag-runs/x/..%2f..%2fusers",
        "/dags/..%5cusers",
        "/dags/%2e",
    ],
)
def test_no_path_leads_back_to_another_operation(stack: Stack, port: int, node: Node, path: str) -> None:
    assert ask(stack, port, "viewer", path) == 400
    assert node.asked == []


@pytest.mark.parametrize("path", ["/dags/a%2Fwebhook", "/dags/a%252Fwebhook"])
def test_what_the_node_may_read_in_the_path_is_allowed_too(stack: Stack, port: int, node: Node, path: str) -> None:
    """A webhook is for administrators, a DAG for everyone."""
    assert ask(stack, port, "viewer", path) == 403
    assert node.asked == []
    assert ask(stack, port, "admin", path) == 200


def test_paths_of_usual_names_are_forwarded_unchanged(stack: Stack, port: int, node: Node) -> None:
    paths = ["/dags/a.b..c", "/dag-runs/a/r/steps/x%2Fy%20z/log", "/dags/100%25"]

    assert [ask(stack, port, "viewer", path) for path in paths] == [200] * 3
    assert node.asked == [f"/api/v2{path}" for path in paths]
    assert [ask(stack, port, "viewer", path) for path in ("/users", "/webhooks")] == [403, 403]
    assert len(node.asked) == 3


def test_no_thread_is_held_for_a_run_of_a_remote_node(stack: Stack, node: Node) -> None:
    headers = {"Authorization": f"Bearer {token(stack, 'admin')}"}

    refused = stack.client.post("/api/v2/dags/a/start-sync?remoteNode=far", json={"timeout": 60}, headers=headers)

    assert (refused.status_code, refused.get_json()["message"].partition(":")[0]) == (400, "remoteNode")
    assert node.asked == []


def test_what_everybody_may_ask_of_this_server_does_not_reach_a_node(tmp_path: Path, node: Node) -> None:
    far = RemoteNode(name="far", api_base_url=f"http://127.0.0.1:{node.server_port}/api/v2")
    settings = Settings(auth_mode="builtin", token_secret=SECRET, metrics_public=True, remote_nodes=(far,))
    with open_stack(tmp_path, settings=settings) as stack:
        for path in ("/healthz", "/readyz", "/assets/dag.schema.json", "/api/v2/metrics"):
            own = stack.client.get(path)
            named = stack.client.get(f"{path}?remoteNode=far")
            assert (own.status_code, named.status_code) == (200, 401 if path.endswith("metrics") else 200)

        assert node.asked == []
