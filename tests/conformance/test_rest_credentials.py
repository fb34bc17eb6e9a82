"""API keys and webhooks, asked of a whole system over HTTP."""

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.clock import utc_now
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import BUILTIN, SECRET, Live, open_live
from tests.harness.eventually import eventually


@pytest.fixture(scope="module")
def live(deployment: Deployment) -> Iterator[Live]:
    with open_live(deployment, BUILTIN) as opened:
        yield opened


@pytest.fixture
def admin(live: Live) -> str:
    return live.log_in()


def test_api_keys_authenticate_until_they_are_deleted(live: Live, admin: str) -> None:
    made = live.post("/api-keys", {"name": "ci", "role": "operator"}, status=201, token=admin)
    key, path = made["key"], f"/api-keys/{made['apiKey']['id']}"
    assert made["apiKey"]["lastUsedAt"] is None
    assert made["apiKey"]["keyPrefix"] == key[:8]
    assert live.ask("GET", "/dags", token=key).status_code == 200
    asks = live.get("/auth/me", token=key)["user"]
    assert (asks["id"], asks["username"]) == (f"apikey:{made['apiKey']['id']}", "apikey:ci")
    assert asks["createdAt"] == "0001-01-01T00:00:00Z"
    assert live.refused("POST", "/dags", {"name": "x"}, token=key) == (403, "forbidden")

    def last_use() -> str:
        found = live.get(path, token=admin)["apiKey"]["lastUsedAt"]
        assert found is not None
        return str(found)

    first = eventually(last_use)
    # Another gateway records the use if it was a minute ago.
    for minutes in (0.5, 2):
        later = live.app_with(BUILTIN, clock=lambda ahead=minutes: utc_now() + timedelta(minutes=ahead))  # type: ignore[misc]
        later.get("/dags", token=key)
    eventually(lambda: last_use() > first)
    again = {"name": "ci", "role": "viewer"}
    assert live.refused("POST", "/api-keys", again, token=admin) == (409, "already_exists")
    assert live.refused("POST", "/api-keys", {"name": "", "role": "viewer"}, token=admin) == (400, "bad_request")
    assert live.refused("POST", "/api-keys", {"name": "n", "role": "king"}, token=admin) == (400, "bad_request")
    assert live.ask("PATCH", path, {"role": "manager"}, token=admin).get_json()["apiKey"]["role"] == "manager"
    assert live.ask("DELETE", path, token=admin).status_code == 204
    assert live.refused("GET", "/dags", token=key) == (401, "unauthorized")
    assert live.refused("GET", path, token=admin) == (404, "not_found")


def test_the_database_holds_only_hashes_of_secrets(live: Live, admin: str) -> None:
    body = {"username": "kept", "password": "a long phrase", "role": "viewer"}
    user = live.post("/users", body, status=201, token=admin)
    made = live.post("/api-keys", {"name": "kept", "role": "viewer"}, status=201, token=admin)
    live.post("/dags", {"name": "kept"}, status=201, token=admin)
    hook = live.post("/dags/kept/webhook", status=201, token=admin)
    row, key, webhook = (
        live.reads.user(user["user"]["id"]),
        live.reads.api_key(made["apiKey"]["id"]),
        live.reads.webhook("kept"),
    )
    assert row is not None
    assert key is not None
    assert webhook is not None

    assert row.password_hash.startswith("$argon2id$")
    assert key.secret_hash == hashlib.sha256(made["key"].encode()).hexdigest()
    assert webhook.secret_hash == hashlib.sha256(hook["token"].encode()).hexdigest()
    stored = "\n".join(map(repr, (vars_of(row), vars_of(key), vars_of(webhook))))
    for secret in ("a long phrase", made["key"], hook["token"], hook["signingSecret"]):
        assert secret not in stored


def vars_of(row: Any) -> dict[str, Any]:
    """Return all columns, also those that a row does not show."""
    return {column.name: getattr(row, column.name) for column in fields(row)}


def test_api_keys_expire(live: Live, admin: str) -> None:
    expires = (utc_now() + timedelta(hours=1)).isoformat()
    made = live.post("/api-keys", {"name": "short", "role": "operator", "expiresAt": expires}, status=201, token=admin)
    key, path = made["key"], f"/api-keys/{made['apiKey']['id']}"
    assert datetime.fromisoformat(made["apiKey"]["expiresAt"]) == datetime.fromisoformat(expires)
    assert live.ask("GET", "/dags", token=key).status_code == 200
    later = live.app_with(BUILTIN, clock=lambda: utc_now() + timedelta(hours=2))

    refused = later.ask("POST", "/dags/x/start", {}, token=key, headers={"X-Request-Id": "expired"})

    assert (refused.status_code, refused.get_json()["code"]) == (401, "unauthorized")
    assert "apikey:short has expired" in refused.get_json()["message"]

    def audited() -> None:
        entries = live.get("/audit?actor=apikey:short", token=admin)["entries"]
        found = [(entry["operation"], entry["outcome"], entry["code"]) for entry in entries]
        assert found == [("executeDAG", "refused", "unauthorized")]

    eventually(audited)
    changed = live.ask("PATCH", path, {"expiresAt": ""}, token=admin).get_json()["apiKey"]
    assert changed["expiresAt"] is None
    assert later.ask("GET", "/dags", token=key).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expiresAt", "2020-01-01T00:00:00Z"),
        ("expiresAt", "2099-01-01T00:00:00"),
        ("expiresAt", "soon"),
        ("expiresAt", "9999-12-31T23:59:59-14:00"),
        ("dags", ["a/b"]),
        ("dags", [""]),
        ("dags", ["x"] * 51),
    ],
)
def test_limits_of_api_keys_that_make_no_sense_are_refused(live: Live, admin: str, field: str, value: Any) -> None:
    refused = live.ask("POST", "/api-keys", {"name": "odd", "role": "viewer", field: value}, token=admin)

    assert (refused.status_code, refused.get_json()["details"]) == (400, {"field": field})


def test_a_webhook_chooses_no_id_that_the_run_config_forbids(live: Live, admin: str) -> None:
    live.post("/dags", {"name": "fixed"}, status=201, token=admin)
    spec = "runConfig: {disableParamEdit: true, disableRunIdEdit: true}\nsteps:\n  - echo hi\n"
    assert live.ask("PUT", "/dags/fixed/spec", {"spec": spec}, token=admin).status_code == 200
    token = live.post("/dags/fixed/webhook", status=201, token=admin)["token"]

    assert live.refused("POST", "/webhooks/fixed", {"dagRunId": "chosen"}, token=token) == (400, "bad_request")
    live.post("/webhooks/fixed", {"payload": {"B": 2}}, token=token)  # which is no edit of the params


def test_webhooks_queue_runs_for_the_holder_of_their_token(live: Live, admin: str) -> None:
    spec = "steps:\n  - name: s\n    command: printenv WEBHOOK_PAYLOAD\n"
    live.post("/dags", {"name": "hook", "spec": spec}, status=201, token=admin)
    assert live.refused("GET", "/dags/hook/webhook", token=admin) == (404, "not_found")
    made = live.post("/dags/hook.yaml/webhook", status=201, token=admin)
    token = made["token"]
    assert token.startswith("dagu_wh_")
    assert made["webhook"]["tokenPrefix"] == token[:12]
    assert live.refused("POST", "/dags/hook/webhook", token=admin) == (409, "already_exists")
    assert live.refused("POST", "/dags/none/webhook", token=admin) == (404, "not_found")
    body = {"dagRunId": "hook-1", "payload": {"a": [1, "x y"]}}
    assert live.post("/webhooks/hook", body, token=token) == {"dagRunId": "hook-1", "dagName": "hook"}
    eventually(lambda: live.get("/dag-runs/hook/hook-1", token=admin)["dagRunDetails"]["status"] == 4)
    log = live.get("/dag-runs/hook/hook-1/steps/s/log", token=admin)["content"]
    assert json.loads(log) == body["payload"]
    assert live.refused("POST", "/webhooks/hook", body, token=token) == (409, "already_exists")
    assert live.refused("POST", "/webhooks/hook", body, token=f"{token}x") == (401, "unauthorized")
    assert live.refused("POST", "/webhooks/none", body, token=token) == (401, "unauthorized")
    assert live.refused("GET", "/dags", token=token) == (401, "unauthorized")
    live.post("/dags/hook/webhook/toggle", {"enabled": False}, token=admin)
    assert live.refused("POST", "/webhooks/hook", {}, token=token) == (403, "forbidden")
    live.post("/dags/hook/webhook/toggle", {"enabled": True}, token=admin)
    fresh = live.post("/dags/hook/webhook/regenerate", token=admin)["token"]
    assert live.refused("POST", "/webhooks/hook", {}, token=token) == (401, "unauthorized")
    run_id = live.post("/webhooks/hook", token=fresh)["dagRunId"]
    big = {"payload": {"a": "x" * (1024 * 1024)}}
    assert live.refused("POST", "/webhooks/hook", big, token=fresh) == (413, "bad_request")
    live.until("hook", run_id, 4, token=admin)
    live.post("/dags/hook/rename", {"newFileName": "hooked"}, token=admin)
    assert live.refused("POST", "/webhooks/hook", {}, token=fresh) == (401, "unauthorized")
    assert live.ask("DELETE", "/dags/hooked/webhook", token=admin).status_code == 204
    assert live.refused("POST", "/webhooks/hooked", {}, token=fresh) == (401, "unauthorized")
    live.post("/dags/hooked/webhook", status=201, token=admin)
    assert live.ask("DELETE", "/dags/hooked", token=admin).status_code == 204
    assert "hooked" not in {hook["dagName"] for hook in live.get("/webhooks", token=admin)["webhooks"]}


def test_a_signed_request_to_a_webhook_is_accepted_once(live: Live, admin: str) -> None:
    live.post("/dags", {"name": "signed", "spec": "steps:\n  - echo hi\n"}, status=201, token=admin)
    made = live.post("/dags/signed/webhook", status=201, token=admin)
    secret = b64decode(made["signingSecret"].removeprefix("whsec_"))
    now = int(utc_now().timestamp())

    def ask(delivery: str, *, at: int = now, sent: bytes = b'{"payload": {"a": 1}}', **sender: Any) -> Any:
        body = b'{"payload": {"a": 1}}'
        mac = hmac.digest(sender.get("secret", secret), f"{delivery}.{at}.".encode() + body, "sha256")
        headers = {
            "webhook-id": delivery,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{b64encode(mac).decode()}",
            "Host": "hooks.example.org",
        }
        gateway = sender.get("gateway", live)
        return gateway.ask("POST", "/webhooks/signed", data=sent, headers=headers, token=sender.get("token"))

    first = ask("msg_1")
    assert first.status_code == 200, first.get_data(as_text=True)
    run_id = first.get_json()["dagRunId"]
    live.until("signed", run_id, 4, token=admin)
    # Sent again, also signed anew, it starts no second run.
    for again in (ask("msg_1"), ask("msg_1", at=now + 1)):
        assert (again.status_code, again.get_json()["code"]) == (409, "already_exists")
    # Not even after its run was deleted. Only the sender can sign it anew.
    assert live.ask("DELETE", f"/dag-runs/signed/{run_id}", token=admin).status_code == 204
    deleted = ask("msg_1")
    assert (deleted.status_code, deleted.get_json()["code"]) == (409, "already_exists")
    assert live.ask("GET", f"/dag-runs/signed/{run_id}", token=admin).status_code == 404
    assert ask("msg_1", at=now + 2).get_json()["dagRunId"] == run_id
    refusals = {
        "stale": ask("msg_2", at=now - 600),
        "future": ask("msg_3", at=now + 600),
        "other body": ask("msg_4", sent=b'{"payload": {"a": 2}}'),
        "other secret": ask("msg_5", secret=b"x" * 32),
        # The right token does not help.
        "token besides": ask("msg_6", secret=b"x" * 32, token=made["token"]),
        "id with a dot": ask("msg.7"),
    }
    assert {name: refused.status_code for name, refused in refusals.items()} == dict.fromkeys(refusals, 401)
    # The token goes on working, and so does the signature while the key of the server is replaced.
    assert live.ask("POST", "/webhooks/signed", {}, token=made["token"]).status_code == 200
    rotated = live.app_with(replace(BUILTIN, token_secret="n" * 40, other_token_secrets=(SECRET,)))
    assert ask("msg_8", gateway=rotated).status_code == 200
    live.post("/dags/signed/webhook/regenerate", token=admin)
    assert ask("msg_9").status_code == 401

    def audited() -> None:
        entries = live.get("/audit?target=signed&operation=triggerWebhook", token=admin)["entries"]
        assert sum(entry["count"] for entry in entries if entry["code"] == "unauthorized") == len(refusals) + 1
        [replayed] = live.get(f"/audit?target={run_id}&outcome=already_exists&limit=1", token=admin)["entries"]
        assert (replayed["operation"], replayed["actor"]["name"]) == ("run.enqueue", "webhook:signed")

    eventually(audited)
