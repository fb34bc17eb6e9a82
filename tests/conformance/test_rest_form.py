"""The form of every response: envelopes, empty bodies, headers, odd paths."""

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from services.api.routes import OPERATIONS
from services.api.settings import Settings
from tests.conformance.rest_stack import Stack, open_stack, recorded


def assert_envelope(response: Any, status: int, code: str) -> str:
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/json"
    body = response.get_json()
    assert set(body) <= {"code", "message", "details"}
    assert body["code"] == code
    assert body["message"]
    return str(body["message"])


@pytest.mark.parametrize("path", ["/nope", "", "/dags/a/nope", "/dag-runs/a/b/steps/c", "/dags//spec/x"])
def test_an_unknown_route_is_a_404_in_the_envelope(stack: Stack, path: str) -> None:
    assert_envelope(stack.api("GET", path), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/dags"), ("PUT", "/health"), ("GET", "/dags/a/start")])
def test_a_wrong_method_is_a_405_in_the_envelope(stack: Stack, method: str, path: str) -> None:
    response = stack.api(method, path)

    assert_envelope(response, 405, "bad_request")
    assert response.headers["Allow"]


def test_a_head_request_never_dequeues(stack: Stack) -> None:
    response = stack.api("HEAD", "/dag-runs/a/b/dequeue")

    assert response.status_code == 405
    assert stack.seen == []


@pytest.mark.parametrize("data", ["{", "[1]", '"x"', "{'a': 1}", '{"params": NaN}'])
def test_malformed_json_is_a_400(stack: Stack, data: str) -> None:
    for content_type in ("application/json", "Application/JSON; charset=utf-8"):
        response = stack.api("POST", "/dags/a/start", data=data, content_type=content_type)
        assert_envelope(response, 400, "bad_request")
    assert stack.seen == []


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/dags", {"name": 1}, "name"),
        ("POST", "/dags", {}, "name"),
        ("POST", "/dags", {"name": "../x"}, "name"),
        ("POST", "/dags", {"name": "x" * 41}, "name"),
        ("POST", "/dags", {"name": "search"}, "name"),
        ("POST", "/dags/a/start", {"singleton": "yes"}, "singleton"),
        ("POST", "/dags/a/start", {"params": 5}, "params"),
        ("POST", "/dags/a/start", {"params": "a\u0000"}, "params"),
        ("POST", "/dags/a/start", {"dagRunId": "a b"}, "dagRunId"),
        ("POST", "/dags/a/start", {"dagRunId": "latest"}, "dagRunId"),
        ("POST", "/dags/a/start", {"dagName": "a b"}, "dagName"),
        ("POST", "/dags/a/enqueue", {"queue": "a\u0007b"}, "queue"),
        ("POST", "/dags/a/rename", {"newFileName": "a b"}, "newFileName"),
        ("POST", "/dags/a/rename", {"newFileName": ""}, "newFileName"),
        ("POST", "/dags/a/rename", {}, "newFileName"),
        ("POST", "/dags/a/suspend", {"suspend": 1}, "suspend"),
        ("PUT", "/dags/a/spec", {}, "spec"),
        ("POST", "/dags/validate", {"spec": None}, "spec"),
        ("PATCH", "/dag-runs/a/b/steps/c/status", {"status": "4"}, "status"),
        ("PATCH", "/dag-runs/a/b/steps/c/status", {"status": 99}, "status"),
        ("POST", "/dags/..%2Fx/start", None, "fileName"),
        ("GET", "/dags/a%00b", None, "fileName"),
        ("GET", "/dags?page=abc", None, "page"),
        ("GET", "/dags?page=1&page=2", None, "page"),
        ("GET", "/dags?page=999999999999999999999", None, "page"),
        ("GET", "/dags?perPage=-1", None, "perPage"),
        ("GET", "/dag-runs?status=x", None, "status"),
        ("GET", "/dag-runs?fromDate=yesterday", None, "fromDate"),
        ("GET", "/dag-runs?name=%00", None, "name"),
        ("GET", "/dags?remoteNode=zzz", None, "remoteNode"),
    ],
)
def test_bad_input_is_a_400_that_names_the_field(
    stack: Stack, method: str, path: str, body: dict[str, Any] | None, field: str
) -> None:
    message = assert_envelope(stack.api(method, path, json=body), 400, "bad_request")

    assert field in message
    assert stack.seen == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/stop", None),
        ("POST", "/retry", {"dagRunId": "new"}),
        ("POST", "/reschedule", {}),
        ("POST", "/dequeue", None),
        ("GET", "/dequeue", None),
        ("GET", "", None),
        ("PATCH", "/steps/s/status", {"status": 4}),
        ("POST", "/steps/s/approve", {}),
        ("POST", "/steps/s/reject", {}),
    ],
)
def test_an_impossible_run_id_is_a_404(stack: Stack, method: str, path: str, body: dict[str, Any] | None) -> None:
    for run_id in ("b%20c", "x" * 65, "%C3%A9"):
        message = assert_envelope(stack.api(method, f"/dag-runs/a/{run_id}{path}", json=body), 404, "not_found")
        assert len(message) < 200
    if "/steps/" in path:
        below = f"/dag-runs/a/b/sub-dag-runs/b%20c{path}"
        assert "subDAGRunId" in assert_envelope(stack.api(method, below, json=body), 404, "not_found")
    assert stack.seen == []


@pytest.mark.parametrize(
    ("method", "path", "failure"),
    [
        ("POST", "/auth/login", (401, "unauthorized")),
        ("POST", "/auth/change-password", (401, "unauthorized")),
        ("POST", "/users", (401, "unauthorized")),
        ("PATCH", "/users/x", (401, "unauthorized")),
        ("PUT", "/users/x", (401, "unauthorized")),
        ("POST", "/users/x/reset-password", (401, "unauthorized")),
        ("POST", "/dags/a/webhook/toggle", (401, "unauthorized")),
        ("POST", "/api-keys", (403, "forbidden")),
        ("PATCH", "/api-keys/x", (403, "forbidden")),
        ("POST", "/webhooks/a", (404, "not_found")),
    ],
)
@pytest.mark.parametrize("data", ["", "{", "{}"])
def test_operations_on_accounts_are_refused_without_builtin_authentication(
    stack: Stack, method: str, path: str, failure: tuple[int, str], data: str
) -> None:
    response = stack.api(method, path, data=data)

    assert "builtin authentication mode" in assert_envelope(response, *failure)
    assert response.get_json()["details"] == {"setting": "DAGWAY_AUTH_MODE"}


@pytest.mark.parametrize(
    ("settings", "path", "name"),
    [
        (Settings(write_dags=False), "/dags", "DAGWAY_PERMISSIONS_WRITE_DAGS"),
        (Settings(run_dags=False), "/dags/a/start", "DAGWAY_PERMISSIONS_RUN_DAGS"),
    ],
)
def test_a_refusal_by_a_setting_names_it(tmp_path: Path, settings: Settings, path: str, name: str) -> None:
    with open_stack(tmp_path, settings=settings) as stack:
        response = stack.api("POST", path, json={"name": "a"})

        assert_envelope(response, 403, "forbidden")
        assert response.get_json()["details"] == {"setting": name}


@pytest.mark.parametrize("node", ["", "local"])
def test_the_local_node_means_this_gateway(stack: Stack, node: str) -> None:
    assert stack.get(f"/dags?remoteNode={node}") == stack.get("/dags")


def test_a_body_over_the_limit_is_a_413(stack: Stack) -> None:
    data = json.dumps({"name": "a", "spec": "x" * (3 * 1024 * 1024)})

    assert_envelope(stack.api("POST", "/dags", data=data, content_type="application/json"), 413, "bad_request")


@pytest.mark.parametrize("path", ["/dags/", "/dag-runs/", "/health/", "/dags/tags/"])
def test_a_trailing_slash_changes_nothing(stack: Stack, path: str) -> None:
    assert stack.api("GET", path).status_code == 200


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.method == "GET"], ids=lambda each: each.id)
def test_no_get_on_an_empty_database_is_a_500(stack: Stack, operation: Any) -> None:
    path = operation.path
    for name in re.findall(r"\{(\w+)\}", path):
        path = path.replace(f"{{{name}}}", "1" if name == "version" else "none")

    response = stack.api("GET", path, query_string={"q": "x"}, buffered=False)

    # Accounts exist in mode builtin only.
    needs_accounts = operation.builtin is not None or "/auth/" in path
    assert response.status_code in ({401, 403} if needs_accounts else {200, 404})
    response.close()
    assert response.headers["Cache-Control"] == "no-store"


def test_an_empty_response_has_content_length_zero(stack: Stack) -> None:
    response = stack.api("POST", "/dags/a/suspend", json={"suspend": True})

    assert (response.status_code, response.headers["Content-Length"], response.data) == (200, "0", b"")


def test_large_answers_are_compressed_for_clients_that_accept_it(stack: Stack) -> None:
    for number in range(30):
        stack.add_dag(f"dag-{number}")
    plain = stack.api("GET", "/dags")

    zipped = stack.api("GET", "/dags", headers={"Accept-Encoding": "gzip, deflate"})
    deflated = stack.api("GET", "/dags", headers={"Accept-Encoding": "gzip;q=0, deflate"})
    small = stack.api("GET", "/health", headers={"Accept-Encoding": "gzip"})

    assert (plain.headers.get("Content-Encoding"), plain.headers["Vary"]) == (None, "Accept-Encoding")
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == plain.data
    assert int(zipped.headers["Content-Length"]) == len(zipped.data) < len(plain.data) / 4
    assert zlib.decompress(deflated.data) == plain.data
    assert "Content-Encoding" not in small.headers


def test_preflights_from_any_origin_are_answered(stack: Stack) -> None:
    preflight = stack.api("OPTIONS", "/dags/a/start", headers={"Origin": "http://elsewhere"})

    # With the origin itself, a page elsewhere could use the password that a browser keeps for this server.
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    assert preflight.status_code == 204
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert preflight.headers["Access-Control-Max-Age"] == "300"


def test_a_bug_is_a_500_that_tells_nothing(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    stack.answer = lambda _: recorded(errors=5)

    response = stack.api("PUT", "/dags/a/spec", json={"spec": "steps: []"}, headers={"X-Request-Id": "req-1"})

    message = assert_envelope(response, 500, "internal_error")
    assert "TypeError" not in message
    assert response.headers["X-Request-Id"] == "req-1"
    [record] = [each for each in caplog.records if each.message == "request.broken"]
    assert record.__dict__["request_id"] == "req-1"


def test_without_the_database_a_request_is_a_503(stack: Stack, tmp_path: Path) -> None:
    stack.deps.reads._engine.dispose()
    tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-gone"))

    response = stack.api("GET", "/dags")

    assert_envelope(response, 503, "service_unavailable")
    assert response.get_json()["message"] == "The database is unavailable or overloaded"
    assert response.headers["Retry-After"]
    assert stack.api("GET", "/health").status_code == 503
    assert stack.client.get("/readyz").status_code == 503
    assert stack.client.get("/healthz").status_code == 200


def test_the_log_says_once_why_the_gateway_is_not_ready(
    stack: Stack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="services.api.readiness_log")
    away = tmp_path.with_name(f"{tmp_path.name}-gone")
    stack.client.get("/readyz")
    stack.deps.reads._engine.dispose()
    tmp_path.rename(away)
    for _ in range(2):
        stack.client.get("/readyz")
    away.rename(tmp_path)
    for _ in range(2):
        assert stack.client.get("/readyz").status_code == 200

    lines = [
        (each.message, each.__dict__.get("error")) for each in caplog.records if each.name.endswith("readiness_log")
    ]
    assert lines == [("api.ready", None), ("api.not_ready", "the database does not answer"), ("api.ready", None)]


def test_every_operation_has_a_name_of_its_own() -> None:
    ids = [operation.id for operation in OPERATIONS]

    assert len(ids) == len(set(ids))


def test_the_base_path_stands_before_everything(tmp_path: Path) -> None:
    with open_stack(tmp_path, base_path="/dagu") as stack:
        assert stack.client.get("/dagu/api/v2/health").status_code == 200
        assert stack.client.get("/dagu/healthz").status_code == 200
        assert b'"/dagu/' in stack.client.get("/dagu/").data
