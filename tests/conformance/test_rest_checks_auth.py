"""Who may do what: authentication and authorization, asked of a whole system over HTTP."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from services.api.settings import RemoteNode, Settings
from shared.clock import utc_now
from shared.login_failures import by_login
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import BUILTIN, SECRET, Live, open_live
from tests.harness.eventually import eventually

BASIC = Settings(basic_username="u", basic_password="p")
TOKEN = Settings(token="the-token")


@pytest.fixture(scope="module")
def live(deployment: Deployment) -> Iterator[Live]:
    with open_live(deployment, BUILTIN) as opened:
        yield opened


@pytest.fixture
def admin(live: Live) -> str:
    return live.log_in()


def carry(gateway: Live, set_cookie: str) -> None:
    """Let requests to another gateway carry the cookie that one has set, as a browser does."""
    name, _, value = set_cookie.partition(";")[0].partition("=")
    gateway.client.set_cookie(name, value)


def test_health_needs_no_credentials(live: Live) -> None:
    for settings in (BUILTIN, BASIC, TOKEN, Settings()):
        assert live.app_with(settings).ask("GET", "/health").status_code == 200


def test_basic_authentication_is_required_and_metrics_can_be_public(live: Live) -> None:
    gateway = live.app_with(BASIC)
    wrong = gateway.ask("GET", "/dags", auth=("u", "x"))
    assert (wrong.status_code, wrong.get_json()["code"]) == (401, "unauthorized")
    assert wrong.headers["WWW-Authenticate"] == 'Basic realm="restricted"'
    assert gateway.ask("GET", "/dags", auth=("u", "p")).status_code == 200
    assert gateway.refused("GET", "/metrics") == (401, "unauthorized")
    public = live.app_with(Settings(basic_username="u", basic_password="p", metrics_public=True))
    assert public.ask("GET", "/metrics").status_code == 200


def test_the_static_token_is_accepted_and_without_authentication_any_is(live: Live) -> None:
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


def test_each_role_may_do_what_its_permissions_allow(live: Live, admin: str) -> None:
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
        tokens[role] = live.log_in(role, f"{role}-password")
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
    again = live.log_in("viewer", "viewer-password-2")
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
        mine, other = (live.log_in("ends", passwords.get(name, "first-phrase")) for _ in range(2))
        assert live.ask("GET", "/dags", token=other).status_code == 200
        done = live.ask(method, where, change, token=mine if name == "own change" else admin)
        assert done.status_code == 200, done.get_data(as_text=True)
        found[name] = [live.ask("GET", "/dags", token=token).status_code for token in (mine, other)]
    assert found == {name: [401, 401] for name in ends}
    kept = live.log_in("ends", "first-phrase")
    for harmless in ({"role": "operator"}, {"username": "still ends"}):
        assert live.ask("PATCH", path, harmless, token=admin).status_code == 200
    assert live.ask("GET", "/dags", token=kept).status_code == 200


def test_logout_ends_one_login_at_every_gateway(live: Live, admin: str) -> None:
    other, elsewhere = live.log_in(), live.app_with(BUILTIN)
    header, _, signature = admin.rpartition(".")
    last = signature[:-1] + chr(ord(signature[-1]) + 1)
    rewritten = f"{header}.{last}"

    assert [live.ask("POST", "/auth/logout", token=admin).status_code for _ in range(2)] == [204, 204]

    for gateway in (live, elsewhere):
        assert gateway.refused("GET", "/dags", token=admin) == (401, "unauthorized")
        assert gateway.refused("GET", "/dags", token=rewritten) == (401, "unauthorized")
    assert live.ask("GET", "/dags", token=other).status_code == 200
    assert live.ask("POST", "/auth/logout", token="junk").status_code == 204


def test_a_web_page_signs_in_by_a_cookie_until_it_logs_out(live: Live) -> None:
    page, elsewhere, after = (live.app_with(BUILTIN) for _ in range(3))
    entered = {"username": "admin", "password": "adminadmin"}
    assert page.refused("POST", "/auth/session", {**entered, "password": "wrong"}) == (401, "unauthorized")

    started = page.ask("POST", "/auth/session", entered)

    cookie = started.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=86400"} <= set(cookie.split("; "))
    assert started.get_json().keys() == {"expiresAt", "user"}
    assert page.get("/auth/me")["user"]["username"] == "admin"
    for gateway in (elsewhere, after):
        carry(gateway, cookie)
    ours, changed = {"Origin": "http://localhost"}, {"name": "by-session"}
    for told in ({}, {"Origin": "http://localhost:3000"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
        assert page.refused("POST", "/dags", changed, headers=told) == (403, "forbidden"), told
        assert page.refused("POST", "/auth/logout", headers=told) == (403, "forbidden"), told
    assert page.refused("GET", "/dag-runs/none/none/dequeue") == (403, "forbidden")
    page.post("/dags", changed, status=201, headers=ours)
    assert elsewhere.ask("GET", "/dags").status_code == 200

    left = page.ask("POST", "/auth/logout", headers=ours)

    assert (left.status_code, "Max-Age=0" in left.headers["Set-Cookie"]) == (204, True)
    for gateway in (page, elsewhere, after):
        assert gateway.refused("GET", "/dags") == (401, "unauthorized")


@pytest.mark.parametrize(
    ("settings", "entered", "wrong", "changed"),
    [
        (TOKEN, {"token": "the-token"}, {"token": "other"}, Settings(token="another")),
        (
            BASIC,
            {"username": "u", "password": "p"},
            {"username": "u", "password": "x"},
            Settings(basic_username="u", basic_password="p2"),
        ),
    ],
    ids=["token", "basic"],
)
def test_a_web_page_signs_in_with_what_is_in_the_settings(
    live: Live, settings: Settings, entered: dict[str, str], wrong: dict[str, str], changed: Settings
) -> None:
    page, elsewhere = live.app_with(settings), live.app_with(settings)
    others = live.app_with(changed), live.app_with(BUILTIN)
    refused = page.ask("POST", "/auth/session", wrong)
    # At this header a browser would ask for a password itself.
    assert (refused.status_code, "WWW-Authenticate" in refused.headers) == (401, False)
    asked = page.ask("GET", "/dags", headers={"X-Requested-With": "XMLHttpRequest"})
    assert (asked.status_code, "WWW-Authenticate" in asked.headers) == (401, False)

    cookie = page.ask("POST", "/auth/session", entered).headers["Set-Cookie"]

    for gateway in (elsewhere, *others):
        carry(gateway, cookie)
    assert page.get("/auth/me")["user"]["role"] == "admin"
    remembered = {"Authorization": f"Basic {base64.b64encode(b'u:old').decode()}", "X-Requested-With": "XMLHttpRequest"}
    assert page.ask("GET", "/dags", headers=remembered).status_code == 200
    assert elsewhere.ask("GET", "/dags").status_code == 200
    for other in others:
        assert other.refused("GET", "/dags") == (401, "unauthorized")
    as_header = cookie.partition("=")[2].partition(";")[0]
    assert live.app_with(settings).refused("GET", "/dags", token=as_header) == (401, "unauthorized")
    assert page.ask("POST", "/auth/logout", headers={"Origin": "http://localhost"}).status_code == 204
    assert elsewhere.refused("GET", "/dags") == (401, "unauthorized")


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
    newer = live.app_with(steps[1]).log_in()
    assert live.app_with(steps[0]).ask("GET", "/dags", token=newer).status_code == 200
    after = live.app_with(replace(BUILTIN, token_secret=new))
    assert after.ask("GET", "/dags", token=newer).status_code == 200
    assert after.refused("GET", "/dags", token=admin) == (401, "unauthorized")


def test_forged_login_tokens_are_refused(live: Live, admin: str) -> None:
    claims = jwt.decode(admin, SECRET, algorithms=["HS256"])
    without_end = {name: value for name, value in claims.items() if name != "exp"}
    head = {"kid": jwt.get_unverified_header(admin)["kid"]}
    forged = {
        "another key": jwt.encode(claims, "x" * 40, "HS256", head),
        "another algorithm": jwt.encode(claims, SECRET * 2, "HS512", head),
        "no signature": jwt.encode(claims, "", "none", head),
        "no name of the key": jwt.encode(claims, SECRET, "HS256"),
        "unknown name of the key": jwt.encode(claims, SECRET, "HS256", {"kid": "other"}),
        "expired": jwt.encode(claims | {"exp": 1}, SECRET, "HS256", head),
        "no end": jwt.encode(without_end, SECRET, "HS256", head),
        "no such user": jwt.encode(claims | {"uid": "nobody"}, SECRET, "HS256", head),
    }

    answers = {name: live.ask("GET", "/dags", token=token) for name, token in forged.items()}

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(forged, 401)
    assert answers["expired"].get_json()["message"] == "This login has ended: log in again"


def test_permissions_of_the_configuration_hold_for_all_roles(live: Live) -> None:
    assert live.app_with(Settings(write_dags=False)).refused("POST", "/dags", {"name": "p"}) == (403, "forbidden")
    assert live.app_with(Settings(run_dags=False)).refused("POST", "/dags/roles/start") == (403, "forbidden")


def test_users_are_created_changed_and_deleted(live: Live, admin: str) -> None:
    weak = {"username": "w", "password": "short", "role": "viewer"}
    assert live.refused("POST", "/users", weak, token=admin) == (400, "bad_request")
    common = live.ask("POST", "/users", {**weak, "password": "password"}, token=admin)
    assert (common.status_code, common.get_json()["message"]) == (
        400,
        "password: must not be one of the most common passwords",
    )
    king = live.ask("POST", "/users", {**weak, "role": "king"}, token=admin)
    assert king.get_json()["message"] == "role: must be one of admin, manager, operator, viewer, none"
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
    old = live.log_in("dup", "another-one")
    me = live.get("/auth/me", token=admin)["user"]["id"]
    # Otherwise the last administrator could be gone by mistake.
    assert live.refused("DELETE", f"/users/{me}", token=admin) == (403, "forbidden")
    for method in ("PATCH", "PUT"):
        assert live.refused(method, f"/users/{me}", {"role": "viewer"}, token=admin) == (403, "forbidden")
    kept = live.ask("PATCH", f"/users/{me}", {"username": "admin", "role": "admin"}, token=admin)
    assert kept.get_json()["user"]["role"] == "admin"
    assert live.ask("DELETE", path, token=admin).status_code == 204
    assert live.refused("GET", "/dags", token=old) == (401, "unauthorized")
    assert live.refused("GET", path, token=admin) == (404, "not_found")


def test_the_page_is_served_at_any_path(live: Live) -> None:
    gateway = live.app_with(Settings(navbar_title="</script>"))
    page = gateway.client.get("/any/page")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert b"function getConfig()" in page.data
    assert page.data.count(b"</script>") == 2, "a title must not end the script it stands in"
    assert gateway.client.get("/assets/none.js").status_code == 404


def test_the_page_of_another_front_end_is_served(live: Live, tmp_path: Path) -> None:
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
    assert gateway.log_in()


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


def test_gateways_count_failed_logins_together_and_remember_them(live: Live) -> None:
    """A gateway that has just started has an empty memory, like one that nobody has asked before."""
    body, away = {"username": "admin", "password": "wrong-one"}, {"environ_base": {"REMOTE_ADDR": "192.0.2.50"}}
    guesser = by_login("admin", "192.0.2.50")
    for _ in range(2):
        gateway = live.app_with(BUILTIN)
        assert [gateway.ask("POST", "/auth/login", body, **away).status_code for _ in range(5)] == [401] * 5

    def waits() -> bool:
        until = live.reads.login_wait(guesser.digest)
        return until is not None and until > utc_now()

    eventually(waits)
    right = {"username": "admin", "password": "adminadmin"}
    refused = live.app_with(BUILTIN).ask("POST", "/auth/login", right, **away)
    assert (refused.status_code, refused.get_json()["code"]) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 16


def test_the_right_password_is_good_for_all_gateways(live: Live) -> None:
    wrong, right = ({"username": "admin", "password": password} for password in ("wrong-one", "adminadmin"))
    away, guesser = {"environ_base": {"REMOTE_ADDR": "192.0.2.51"}}, by_login("admin", "192.0.2.51")
    assert live.app_with(BUILTIN).ask("POST", "/auth/login", wrong, **away).status_code == 401
    eventually(lambda: live.reads.login_wait(guesser.digest) is not None)

    assert live.app_with(BUILTIN).ask("POST", "/auth/login", right, **away).status_code == 200

    eventually(lambda: live.reads.login_wait(guesser.digest) is None)


def test_guesses_of_the_static_token_are_slowed_down(live: Live) -> None:
    gateway = live.app_with(replace(BUILTIN, token="the-token"))
    ended = gateway.log_in()
    gateway.ask("POST", "/auth/logout", token=ended)
    # An address of its own, because all gateways count its failures.
    away = {"environ_base": {"REMOTE_ADDR": "192.0.2.40"}}
    for harmless in (ended, "null"):
        assert {gateway.ask("GET", "/dags", token=harmless, **away).status_code for _ in range(101)} == {401}
    statuses = [gateway.ask("GET", "/dags", token=f"guess-{number}", **away).status_code for number in range(120)]
    assert statuses[:100] == [401] * 100
    assert 429 in statuses[100:]
    refused = gateway.ask("GET", "/dags", token="the-token", **away)
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
