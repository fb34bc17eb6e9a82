"""Requests forwarded to a remote node, with two real systems."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.harness.cluster import Embedded
from tests.harness.eventually import PATIENCE_S, eventually, free_port

TWO_LINES = "steps:\n  - name: a/b c\n    command: printf 'one\\ntwo\\n'\n    output: OUT\n"
SLOW = "steps:\n  - name: s\n    command: sleep 300\n"
ME = "Basic " + base64.b64encode(b"me:my own").decode()


class Near:
    """Sends requests to the local system. ``node`` chooses the system that handles them."""

    def __init__(self, system: Embedded) -> None:
        self._door = f"http://127.0.0.1:{system.process.env['DAGWAY_PORT']}/api/v2"
        self._pool = urllib3.PoolManager(retries=False, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: Any = None, *, node: str = "far", **headers: str) -> Any:
        sent = {"Authorization": ME, **({} if body is None else {"Content-Type": "application/json"}), **headers}
        data = None if body is None else json.dumps(body)
        url = f"{self._door}{path}{'&' if '?' in path else '?'}remoteNode={node}"
        preload = not path.startswith("/events")
        return self._pool.request(method, url, body=data, headers=sent, preload_content=preload)

    def page(self) -> str:
        """Return the web page of the local system, with its settings."""
        return str(self._pool.request("GET", self._door.removesuffix("/api/v2") + "/").data.decode())

    def get(self, path: str, **options: Any) -> Any:
        answer = self.ask("GET", path, **options)
        assert answer.status == 200, answer.data
        return answer.json()

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
        answer = self.ask(method, path, body, **options)
        content = answer.json()
        assert content["message"]
        return answer.status, content["code"]


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Near]:
    folder: Path = tmp_path_factory.mktemp("remote")
    with Embedded(folder / "far", env={"DAGWAY_AUTH_TOKEN": "far token"}) as far:
        address = f"http://127.0.0.1:{far.process.env['DAGWAY_PORT']}/api/v2"
        nodes = [
            {"name": "far", "apiBaseURL": address, "isAuthToken": True, "authToken": "far token"},
            {"name": "stranger", "apiBaseURL": address, "isAuthToken": True, "authToken": "wrong"},
            {"name": "basic", "apiBaseURL": address, "isBasicAuth": True, "basicAuthUsername": "me"},
            {"name": "gone", "apiBaseURL": f"http://127.0.0.1:{free_port()}/api/v2"},
        ]
        env = {
            "DAGWAY_REMOTE_NODES": json.dumps(nodes),
            "DAGWAY_AUTH_BASIC_USERNAME": "me",
            "DAGWAY_AUTH_BASIC_PASSWORD": "my own",
        }
        with Embedded(folder / "near", env=env) as system:
            yield Near(system)


def test_both_nodes_audit_a_write_that_was_forwarded(near: Near) -> None:
    assert near.ask("PUT", "/pools/forwarded", {"capacity": 2}).status == 200
    assert near.ask("PUT", "/pools/forwarded", {"capacity": 0}).status == 400
    assert near.refused("DELETE", "/pools/forwarded", node="gone") == (502, "bad_gateway")

    def entries(node: str) -> set[tuple[str, str, str, str]]:
        found = near.get("/audit?target=forwarded", node=node)["entries"]
        return {
            (
                each["actor"]["name"],
                each["operation"],
                each.get("code", ""),
                each.get("after", {}).get("remote_node", ""),
            )
            for each in found
        }

    here = {
        ("me", "setPoolCapacity", "", "far"),
        ("me", "setPoolCapacity", "bad_gateway", "far"),
        ("me", "removePool", "bad_gateway", "gone"),
    }
    eventually(lambda: entries("local") == here)
    there = {("api-token", "pool.set", "", ""), ("api-token", "setPoolCapacity", "bad_request", "")}
    eventually(lambda: entries("far") == there)


def test_writes_happen_on_the_remote_node_only(near: Near) -> None:
    made = near.ask("POST", "/dags", {"name": "there", "spec": TWO_LINES})
    assert (made.status, made.json()) == (201, {"name": "there"})
    done = near.ask("POST", "/dags/there/start?wait=60s", {"dagRunId": "r"}).json()
    assert (done["dagRunId"], done["dagRunDetails"]["status"]) == ("r", 4)

    assert "there.yaml" in [each["fileName"] for each in near.get("/dags")["dags"]]
    assert near.get("/dags", node="local")["dags"] == near.get("/dags", node="")["dags"] == []
    log = near.get("/dag-runs/there/r/steps/a%2Fb%20c/log?tail=1")
    assert (log["content"], log["totalLines"]) == ("two", 2)
    assert near.get("/dag-runs/there/r/outputs")["outputs"] == {"out": "one\ntwo"}
    patched = near.ask("PATCH", "/dag-runs/there/r/steps/a%2Fb%20c/status", {"status": 2})
    assert (patched.status, patched.data, patched.headers["Content-Length"]) == (200, b"", "0")
    assert near.get("/dag-runs/there/r")["dagRunDetails"]["nodes"][0]["status"] == 2
    metrics = near.ask("GET", "/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain")
    assert "dagu_dags_total" in metrics.data.decode()


def test_forwarded_requests_and_responses_keep_their_parts(near: Near) -> None:
    near.ask("POST", "/dags", {"name": "tagged", "spec": TWO_LINES})
    key = {"Idempotency-Key": "once"}
    first, second = (near.ask("POST", "/dags/tagged/start", {}, **key).json() for _ in range(2))
    assert first == second
    tag = near.ask("GET", "/dags/tagged/spec").headers["ETag"]
    assert near.ask("PUT", "/dags/tagged/spec", {"spec": SLOW}, **{"If-Match": tag}).json() == {"errors": []}
    stale = near.refused("PUT", "/dags/tagged/spec", {"spec": SLOW}, **{"If-Match": tag})
    assert stale == (412, "bad_gateway")
    zipped = near.ask("GET", "/openapi.json", **{"Accept-Encoding": "gzip"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert near.ask("DELETE", "/dags/tagged").status == 204


def test_errors_of_the_remote_node_keep_their_status(near: Near) -> None:
    assert near.refused("GET", "/dags/none") == (404, "bad_gateway")
    assert near.refused("POST", "/dags", {"name": "../x"}) == (400, "bad_gateway")
    assert near.refused("GET", "/dags?page=x") == (400, "bad_gateway")
    assert near.refused("GET", "/users") == (401, "bad_gateway")
    assert near.refused("GET", "/dags", node="gone") == (502, "bad_gateway")
    assert near.refused("GET", "/dags", node="stranger") == (401, "bad_gateway")
    assert near.refused("GET", "/dags", node="basic") == (401, "bad_gateway")
    assert near.refused("GET", "/dags", node="zzz") == (400, "bad_request")
    assert "none" in near.ask("GET", "/dags/none").json()["message"]


def test_unauthenticated_requests_are_not_forwarded(near: Near) -> None:
    assert near.refused("GET", "/dags", Authorization="Bearer far token") == (401, "unauthorized")
    assert near.ask("GET", "/health", Authorization="").status == 200
    assert near.get("/auth/me")["user"]["username"] == "me"


def test_a_stream_is_forwarded_while_it_arrives(near: Near) -> None:
    near.ask("POST", "/dags", {"name": "slow", "spec": SLOW})
    stream = near.ask("GET", "/events")
    try:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        text = ""

        def has(*words: str) -> bool:
            nonlocal text
            text += stream.read1(65536).decode()
            return all(word in text for word in words)

        eventually(lambda: has("retry:"))
        near.ask("POST", "/dags/slow/start", {"dagRunId": "followed"})
        eventually(lambda: has("followed", '"became": "running"'))
        assert '"became": "aborted"' not in text
        near.ask("POST", "/dag-runs/slow/followed/stop")
        eventually(lambda: has('"became": "aborted"'))
    finally:
        stream.close()


def test_a_session_of_this_server_reaches_the_node_and_its_events(near: Near) -> None:
    entered = {"username": "me", "password": "my own"}
    started = near.ask("POST", "/auth/session", entered, Authorization="")
    assert started.status == 200
    session = {"Authorization": "", "Cookie": started.headers["Set-Cookie"].partition(";")[0]}

    assert near.refused("GET", "/dags", Authorization="") == (401, "unauthorized")
    assert near.get("/dags", **session).keys() >= {"dags"}
    assert near.refused("POST", "/dags", {"name": "by-cookie"}, **session) == (403, "forbidden")
    stream = near.ask("GET", "/events", **session)
    assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
    stream.close()


def test_no_answer_has_the_credentials_of_a_node(near: Near) -> None:
    requests = [("GET", path) for path in ("/dags", "/dags/none", "/users", "/auth/me", "/workers", "/openapi.json")]
    for node in ("far", "stranger", "basic", "gone"):
        for method, path in (*requests, ("POST", "/dags"), ("DELETE", "/pools/none")):
            answer = near.ask(method, path, {} if method == "POST" else None, node=node)
            text = f"{answer.data.decode()} {dict(answer.headers)}"
            assert "far token" not in text, (node, path)
    page = near.page()
    assert "getConfig" in page
    assert "far token" not in page
