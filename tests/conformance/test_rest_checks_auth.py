"""The black-box checks on authentication and authorization. REST contract section 13."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from services.api.settings import RemoteNode, Settings
from shared.clock import utc_now
from tests.conformance.conftest import Footing
from tests.conformance.rest_live import SECRET, Live, open_live
from tests.harness.eventually import eventually

BUILTIN = Settings(auth_mode="builtin", token_secret=SECRET, admin_password="adminadmin")
BASIC = Settings(basic_username="u", basic_password="p")
TOKEN = Settings(token="the-token")


@pytest.fixture(scope="module")
def live(footing: Footing) -> Iterator[Live]:
    with open_live(footing, BUILTIN) as opened:
        yield opened


@pytest.fixture
def admin(live: Live) -> str:
    return login(live, "admin", "adminadmin")


def login(live: Live, username: str, password: str) -> str:
    return str(live.post("/auth/login", {"username": username, "password": password})["token"])


def test_health_needs_no_credentials(live: Live) -> None:
    """Check 51 of REST contract section 13."""
    for settings in (BUILTIN, BASIC, TOKEN, Settings()):
        assert live.app_with(settings).ask("GET", "/health").status_code == 200


def test_basic_authentication_is_required_and_metrics_can_be_public(live: Live) -> None:
    """Checks 53 and 54 of REST contract section 13."""
    gateway = live.app_with(BASIC)
    wrong = gateway.ask("GET", "/dags", auth=("u", "x"))
    assert (wrong.status_code, wrong.get_json()["code"]) == (401, "unauthorized")
    assert wrong.headers["WWW-Authenticate"] == 'Basic realm="restricted"'
    assert gateway.ask("GET", "/dags", auth=("u", "p")).status_code == 200
    assert gateway.refused("GET", "/metrics") == (401, "unauthorized")
    public = live.app_with(Settings(basic_username="u", basic_password="p", metrics_public=True))
    assert public.ask("GET", "/metrics").status_code == 200


def test_the_static_token_is_accepted_and_without_authentication_any_is(live: Live) -> None:
    """Checks 55 and 56 of REST contract section 13."""
    gateway = live.app_with(TOKEN)
    assert gateway.ask("GET", "/dags", token="the-token").status_code == 200
    assert gateway.refused("GET", "/dags", token="other") == (401, "unauthorized")
    assert gateway.get("/auth/me", token="the-token")["user"]["id"] == "api-token"
    everybody = live.app_with(Settings())
    assert everybody.ask("GET", "/dags", token="null").status_code == 200
    assert everybody.refused("GET", "/auth/me") == (401, "unauthorized")
    assert everybody.refused("GET", "/users") == everybody.refused("GET", "/webhooks") == (401, "unauthorized")
    assert everybody.refused("GET", "/api-keys") == (403, "forbidden")
    assert everybody.refused("POST", "/webhooks/x") == (404, "not_found")
    # Where nobody need say who they are, nobody is asked to.
    assert "WWW-Authenticate" not in everybody.ask("GET", "/auth/me").headers


def test_each_role_may_do_what_the_contract_allows(live: Live, admin: str) -> None:
    """Check 58 of REST contract section 13."""
    wrong = {"username": "admin", "password": "wrong-one"}
    assert live.refused("POST", "/auth/login", wrong) == (401, "unauthorized")
    me = live.get("/auth/me", token=admin)["user"]
    assert me["role"] == "admin"
    claims = jwt.decode(admin, SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["uid"], claims["username"]) == (me["id"], me["id"], "admin")
    tokens = {}
    for role in ("viewer", "operator", "manager"):
        body = {"username": role, "password": f"{role}-password", "role": role}
        assert live.post("/users", body, status=201, token=admin)["user"]["role"] == role
        tokens[role] = login(live, role, f"{role}-password")
    live.post("/dags", {"name": "roles"}, status=201, token=admin)
    spec = {"spec": "steps:\n  - echo hi\n"}
    assert live.ask("GET", "/dags", token=tokens["viewer"]).status_code == 200
    assert live.refused("POST", "/dags", {"name": "x"}, token=tokens["viewer"]) == (403, "forbidden")
    assert live.refused("POST", "/dags/roles/start", token=tokens["viewer"]) == (403, "forbidden")
    assert live.ask("POST", "/dags/roles/start", token=tokens["operator"]).status_code == 200
    assert live.refused("PUT", "/dags/roles/spec", spec, token=tokens["operator"]) == (403, "forbidden")
    assert live.ask("PUT", "/dags/roles/spec", spec, token=tokens["manager"]).status_code == 200
    assert live.refused("GET", "/users", token=tokens["manager"]) == (403, "forbidden")
    changed = {"currentPassword": "viewer-password", "newPassword": "viewer-password-2"}
    live.post("/auth/change-password", changed, token=tokens["viewer"])
    again = login(live, "viewer", "viewer-password-2")
    assert live.refused("POST", "/auth/change-password", changed, token=again) == (401, "unauthorized")


def test_a_new_password_or_role_ends_older_logins(live: Live, admin: str) -> None:
    body = {"username": "ends", "password": "first-phrase", "role": "viewer"}
    path = f"/users/{live.post('/users', body, status=201, token=admin)['user']['id']}"
    ends: dict[str, tuple[str, str, Any]] = {
        "own change": (
            "POST",
            "/auth/change-password",
            {"currentPassword": "first-phrase", "newPassword": "second-phrase"},
        ),
        "reset": ("POST", f"{path}/reset-password", {"newPassword": "first-phrase"}),
        "new role": ("PATCH", path, {"role": "operator"}),
    }
    passwords = {"reset": "second-phrase"}
    found = {}
    for name, (method, where, change) in ends.items():
        mine, other = (login(live, "ends", passwords.get(name, "first-phrase")) for _ in range(2))
        assert live.ask("GET", "/dags", token=other).status_code == 200
        done = live.ask(method, where, change, token=mine if name == "own change" else admin)
        assert done.status_code == 200, done.get_data(as_text=True)
        found[name] = [live.ask("GET", "/dags", token=token).status_code for token in (mine, other)]
    assert found == {name: [401, 401] for name in ends}
    kept = login(live, "ends", "first-phrase")
    for harmless in ({"role": "operator"}, {"username": "still ends"}):
        assert live.ask("PATCH", path, harmless, token=admin).status_code == 200
    assert live.ask("GET", "/dags", token=kept).status_code == 200


def test_logout_ends_one_login_at_every_gateway(live: Live, admin: str) -> None:
    other, elsewhere = login(live, "admin", "adminadmin"), live.app_with(BUILTIN)
    header, _, signature = admin.rpartition(".")
    last = signature[:-1] + chr(ord(signature[-1]) + 1)
    rewritten = f"{header}.{last}"

    assert [live.ask("POST", "/auth/logout", token=admin).status_code for _ in range(2)] == [204, 204]

    for gateway in (live, elsewhere):
        assert gateway.refused("GET", "/dags", token=admin) == (401, "unauthorized")
        assert gateway.refused("GET", "/dags", token=rewritten) == (401, "unauthorized")
    assert live.ask("GET", "/dags", token=other).status_code == 200
    assert live.ask("POST", "/auth/logout", token="junk").status_code == 204


def test_a_new_signing_key_ends_no_login(live: Live, admin: str) -> None:
    new = "another secret of the tests, also long enough"
    steps = [
        replace(BUILTIN, other_token_secrets=(new,)),
        replace(BUILTIN, token_secret=new, other_token_secrets=(SECRET,)),
    ]
    for settings in steps:
        # Some gateways have the new settings already, others not yet; each accepts the tokens of the others.
        gateway = live.app_with(settings)
        assert gateway.ask("GET", "/dags", token=admin).status_code == 200
    newer = login(live.app_with(steps[1]), "admin", "adminadmin")
    assert live.app_with(steps[0]).ask("GET", "/dags", token=newer).status_code == 200
    after = live.app_with(replace(BUILTIN, token_secret=new))
    assert after.ask("GET", "/dags", token=newer).status_code == 200
    assert after.refused("GET", "/dags", token=admin) == (401, "unauthorized")


def test_tokens_of_older_gateways_are_valid_until_the_password_changes(live: Live, admin: str) -> None:
    body = {"username": "older", "password": "first-phrase", "role": "viewer"}
    user = live.post("/users", body, status=201, token=admin)["user"]["id"]
    old = jwt.encode({"sub": user, "uid": user, "exp": 4_000_000_000}, SECRET, algorithm="HS256")
    assert live.ask("GET", "/dags", token=old).status_code == 200

    live.post(f"/users/{user}/reset-password", {"newPassword": "second-phrase"}, token=admin)

    assert live.refused("GET", "/dags", token=old) == (401, "unauthorized")


def test_forged_login_tokens_are_refused(live: Live, admin: str) -> None:
    claims = jwt.decode(admin, SECRET, algorithms=["HS256"])
    without_end = {name: value for name, value in claims.items() if name != "exp"}
    forged = {
        "another key": jwt.encode(claims, "x" * 40, algorithm="HS256"),
        "another algorithm": jwt.encode(claims, SECRET * 2, algorithm="HS512"),
        "no signature": jwt.encode(claims, "", algorithm="none"),
        "expired": jwt.encode(claims | {"exp": 1}, SECRET, algorithm="HS256"),
        "no end": jwt.encode(without_end, SECRET, algorithm="HS256"),
        "no such user": jwt.encode(claims | {"uid": "nobody"}, SECRET, algorithm="HS256"),
    }

    found = {name: live.ask("GET", "/dags", token=token).status_code for name, token in forged.items()}

    assert found == dict.fromkeys(forged, 401)


def test_api_keys_authenticate_until_they_are_deleted(live: Live, admin: str) -> None:
    """Check 59 of REST contract section 13."""
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

    first = eventually(last_use, timeout_s=60)
    # Another gateway records the use if it was a minute ago.
    for minutes in (0.5, 2):
        later = live.app_with(BUILTIN, clock=lambda ahead=minutes: utc_now() + timedelta(minutes=ahead))  # type: ignore[misc]
        later.get("/dags", token=key)
    eventually(lambda: last_use() > first, timeout_s=60)
    again = {"name": "ci", "role": "viewer"}
    assert live.refused("POST", "/api-keys", again, token=admin) == (409, "already_exists")
    assert live.refused("POST", "/api-keys", {"name": "", "role": "viewer"}, token=admin) == (400, "bad_request")
    assert live.refused("POST", "/api-keys", {"name": "n", "role": "king"}, token=admin) == (400, "bad_request")
    assert live.ask("PATCH", path, {"role": "manager"}, token=admin).get_json()["apiKey"]["role"] == "manager"
    assert live.ask("DELETE", path, token=admin).status_code == 204
    assert live.refused("GET", "/dags", token=key) == (401, "unauthorized")
    assert live.refused("GET", path, token=admin) == (404, "not_found")


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

    eventually(audited, timeout_s=60)
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


def test_permissions_of_the_configuration_hold_for_all_roles(live: Live) -> None:
    """Check 60 of REST contract section 13."""
    assert live.app_with(Settings(write_dags=False)).refused("POST", "/dags", {"name": "p"}) == (403, "forbidden")
    assert live.app_with(Settings(run_dags=False)).refused("POST", "/dags/roles/start") == (403, "forbidden")


def test_users_are_created_changed_and_deleted(live: Live, admin: str) -> None:
    """Check 61 of REST contract section 13."""
    weak = {"username": "w", "password": "short", "role": "viewer"}
    assert live.refused("POST", "/users", weak, token=admin) == (400, "bad_request")
    common = live.ask("POST", "/users", {**weak, "password": "password"}, token=admin)
    assert (common.status_code, common.get_json()["message"]) == (
        400,
        "password: must not be one of the most common passwords",
    )
    body = {"username": "dup", "password": "long-enough", "role": "viewer"}
    key = {"Idempotency-Key": "user-1"}
    made = live.post("/users", body, status=201, token=admin, headers=key)
    assert live.post("/users", body, status=201, token=admin, headers=key) == made
    assert live.refused("POST", "/users", body, token=admin) == (409, "already_exists")
    path = f"/users/{made['user']['id']}"
    assert live.ask("PUT", path, {"role": "operator"}, token=admin).get_json()["user"]["role"] == "operator"
    blank = {"newPassword": " " * 12}
    assert live.refused("POST", f"{path}/reset-password", blank, token=admin) == (400, "bad_request")
    live.post(f"{path}/reset-password", {"newPassword": "another-one"}, token=admin)
    old = login(live, "dup", "another-one")
    me = live.get("/auth/me", token=admin)["user"]["id"]
    assert live.refused("DELETE", f"/users/{me}", token=admin) == (403, "forbidden")
    assert live.ask("DELETE", path, token=admin).status_code == 204
    assert live.refused("GET", "/dags", token=old) == (401, "unauthorized")
    assert live.refused("GET", path, token=admin) == (404, "not_found")


def test_webhooks_queue_runs_for_the_holder_of_their_token(live: Live, admin: str) -> None:
    """Check 62 of REST contract section 13."""
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
    eventually(lambda: live.get("/dag-runs/hook/hook-1", token=admin)["dagRunDetails"]["status"] == 4, timeout_s=60)
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
    assert live.ask("POST", "/webhooks/hook", token=fresh).status_code == 200
    big = {"payload": {"a": "x" * (1024 * 1024)}}
    assert live.refused("POST", "/webhooks/hook", big, token=fresh) == (413, "bad_request")
    assert live.ask("DELETE", "/dags/hook/webhook", token=admin).status_code == 204
    assert live.refused("POST", "/webhooks/hook", {}, token=fresh) == (401, "unauthorized")


def test_the_page_is_served_at_any_path(live: Live) -> None:
    """Check 66 of REST contract section 13."""
    gateway = live.app_with(Settings(navbar_title="</script>"))
    page = gateway.client.get("/any/page")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert b"function getConfig()" in page.data
    assert page.data.count(b"</script>") == 2, "a title must not end the script it stands in"
    assert gateway.client.get("/assets/none.js").status_code == 404


def test_the_page_of_another_front_end_is_served(live: Live, tmp_path: Path) -> None:
    """Check 66 of REST contract section 13."""
    (tmp_path / "bundle.js").write_text("1")
    node = RemoteNode.model_validate({"name": "far", "apiBaseURL": "http://127.0.0.1:9/api/v2"})
    gateway = live.app_with(Settings(ui_dir=tmp_path, remote_nodes=(node,)))
    page = gateway.client.get("/any/page")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert b"function getConfig()" in page.data
    assert b'"remoteNodes": "far"' in page.data
    with gateway.client.get("/assets/bundle.js") as asset:
        assert (asset.data, asset.headers["Cache-Control"]) == (b"1", "max-age=86400")
    assert b"root:" not in gateway.client.get("/assets/..%2f..%2fetc/passwd").data
    assert gateway.refused("GET", "/nothing") == (404, "not_found")
    assert gateway.refused("GET", "/dags?remoteNode=far") == (502, "bad_gateway")


def test_logins_that_fail_are_slowed_down(live: Live) -> None:
    gateway = live.app_with(BUILTIN)
    wrong = {"username": "nobody", "password": "wrong-one"}
    statuses = [gateway.ask("POST", "/auth/login", wrong).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    # From the same address, others may still come in.
    assert gateway.post("/auth/login", {"username": "admin", "password": "adminadmin"})["token"]


def test_wrong_logins_keep_nobody_out_at_another_address(live: Live) -> None:
    gateway = live.app_with(replace(BUILTIN, trusted_proxies=1))
    right, wrong = ({"username": "admin", "password": password} for password in ("adminadmin", "wrong-one"))

    def log_in(body: dict[str, str], *, forwarded: str) -> Any:
        return gateway.ask("POST", "/auth/login", body, headers={"X-Forwarded-For": forwarded})

    for number in range(10):
        # What the client itself claims to be does not matter.
        assert log_in(wrong, forwarded=f"203.0.113.{number}, 192.0.2.1").status_code == 401
    refused = log_in(right, forwarded="192.0.2.1")
    assert (refused.status_code, refused.get_json()["code"]) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 16
    assert log_in(right, forwarded="192.0.2.2").status_code == 200


def test_guesses_of_the_static_token_are_slowed_down(live: Live) -> None:
    gateway = live.app_with(replace(BUILTIN, token="the-token"))
    ended = login(gateway, "admin", "adminadmin")
    gateway.ask("POST", "/auth/logout", token=ended)
    for harmless in (ended, "null"):
        assert {gateway.ask("GET", "/dags", token=harmless).status_code for _ in range(101)} == {401}
    statuses = [gateway.ask("GET", "/dags", token=f"guess-{number}").status_code for number in range(120)]
    assert statuses[:100] == [401] * 100
    assert 429 in statuses[100:]
    refused = gateway.ask("GET", "/dags", token="the-token")
    assert (refused.status_code, refused.get_json()["code"]) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0


def test_guesses_of_the_basic_password_are_slowed_down(live: Live) -> None:
    gateway = live.app_with(BASIC)
    for _ in range(3):
        # Who only mistypes now and then never waits.
        assert {gateway.ask("GET", "/dags", auth=("u", "x")).status_code for _ in range(9)} == {401}
        assert gateway.ask("GET", "/dags", auth=("u", "p")).status_code == 200
    assert [gateway.ask("GET", "/dags", auth=("u", "x")).status_code for _ in range(11)] == [401] * 10 + [429]
    assert gateway.refused("GET", "/dags", auth=("u", "p")) == (429, "too_many_requests")
