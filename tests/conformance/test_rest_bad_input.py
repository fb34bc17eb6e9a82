"""Invalid input is answered by a 4xx with the error envelope or by a real success, never by a 5xx or an HTML page."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from services.api.routes import OPERATIONS
from services.api.serving.waitress_server import EmbeddedServer
from services.api.settings import Settings
from tests.conformance.rest_live import SECRET
from tests.conformance.rest_stack import Stack, open_stack, recorded
from tests.harness.eventually import PATIENCE_S

TEXTS = {
    "long": "x" * 5000,
    "unicode": "名前 \U0001f600",
    "right-to-left": "\u202eabc",
    "control": "a\x07\x1bb",
    "newline": "a\r\nSet-Cookie: x=1",
    "nul": "a\x00b",
    "surrogate": "\udcff",
    "traversal": "../../etc/passwd",
    "encoded traversal": "..%2f..%2fetc%2fpasswd",
    "backslashes": "..\\..\\x",
    "sql": "' OR 1=1; DROP TABLE dags; --",
    "like": "%_%",
    "yaml": "!!python/object/apply:os.system ['id']",
    "alias": "&a [*a, *a]",
    "template": "{{7*7}}${IFS}`id`",
    "number": "99999999999999999999999999",
    "negative": "-1",
    "nothing": " ",
    "dots": "..",
    "null": "null",
}
BODIES: dict[str, Any] = {
    "a list": b"[]",
    "text": b'"x"',
    "half": b'{"spec": ',
    "not utf-8": b"\xff\xfe",
    "deep": b'{"spec": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    "wrong types": b'{"spec": 1, "name": [], "status": "x", "dagRunId": {}, "params": 3, "suspend": "yes",'
    b' "enabled": 2, "newFileName": 5, "username": 1, "password": 2, "role": 3,'
    b' "singleton": "no", "currentPassword": 1}',
    "a huge number": b'{"status": 1e999, "spec": "x"}',
    "nul": b'{"spec": "a\\u0000b", "name": "a\\u0000b", "newFileName": "\\u0000", "username": "\\u0000"}',
}
_AT = "2025-11-24T12:00:00+00:00"
_ROW = {
    **dict.fromkeys(("id", "username", "name", "description", "file_name", "prefix", "created_by"), "x"),
    "role": "viewer",
    "enabled": True,
    **dict.fromkeys(("created_at", "updated_at", "last_used_at"), _AT),
}
_STREAMS = {"streamEvents", "streamDAGRunEvents"}


@pytest.fixture(scope="module", params=["none", "builtin"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("bad")
    with open_stack(folder, settings=Settings(auth_mode=request.param, token_secret=SECRET, token="t")) as opened:
        opened.add_dag("a")
        opened.add_run("a", "r", "succeeded")
        opened.answer = lambda command: recorded(
            dagRunId="r", errors=[], version=1, created=True, user=_ROW, apiKey=_ROW, webhook=_ROW, workspace=_ROW
        )
        yield opened


def _check(response: Any, what: str) -> None:
    assert response.status_code < 500, f"{what}: {response.status_code} {response.get_data(as_text=True)}"
    if response.status_code >= 400:
        content = response.get_json()
        assert isinstance(content, dict), what
        assert {"code", "message"} <= set(content), what
        assert "Traceback" not in content["message"]


def _path(operation: Any, value: str) -> str:
    return re.sub(r"\{\w+\}", quote(value.encode("utf-8", "surrogateescape"), safe=""), operation.path)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method}-{operation.id}")
def test_odd_texts_and_bodies(stack: Stack, operation: Any) -> None:
    headers = {"Authorization": "Bearer t"}
    for name, value in TEXTS.items():
        shown = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if "{" in operation.path:
            with stack.api(operation.method, _path(operation, value), headers=headers, json={}) as response:
                _check(response, name)
        if operation.query is not None and operation.id not in _STREAMS:
            for field, info in operation.query.model_fields.items():
                query = {info.alias or field: shown}
                response = stack.api(
                    operation.method, _path(operation, "a"), headers=headers, query_string=query, json={}
                )
                _check(response, f"{field}={name}")
    if operation.body is not None:
        for name, data in BODIES.items():
            response = stack.api(
                operation.method, _path(operation, "a"), headers=headers, data=data, content_type="application/json"
            )
            _check(response, name)


def test_missing_fields_are_named(stack: Stack) -> None:
    headers = {"Authorization": "Bearer t"}
    for operation in OPERATIONS:
        if operation.body is None or operation.role in {"public", "admin"} or operation.id == "changePassword":
            continue
        missing = [info.alias or name for name, info in operation.body.model_fields.items() if info.is_required()]
        if missing:
            response = stack.api(operation.method, _path(operation, "a"), headers=headers, json={})
            assert response.status_code == 400
            assert missing[0] in response.get_json()["message"]


def test_slow_huge_and_broken_clients_leave_the_server_healthy(stack: Stack) -> None:
    server = EmbeddedServer(stack.app, "127.0.0.1", 0, threads=4)
    server.start()
    try:
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(12)]
        for each in idle:
            each.sendall(b"POST /api/v2/dags HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        gone = socket.create_connection(("127.0.0.1", server.port))
        gone.sendall(b"GET /api/v2/dags HTTP/1.1\r\nHost: x\r\n\r\n")
        gone.close()
        huge = socket.create_connection(("127.0.0.1", server.port))
        huge.sendall(b"POST /api/v2/dags HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert b" 413 " in huge.recv(4096).split(b"\r\n", 1)[0] + b" "
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as client:
            client.sendall(b"GET /api/v2/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b" 200 " in client.recv(4096)
        for each in (*idle, huge):
            each.close()
    finally:
        server.stop()
