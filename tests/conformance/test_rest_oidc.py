"""Login at an OpenID Connect provider."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import rsa
from flask.testing import FlaskClient

from services.api.auth import oidc
from services.api.auth.oidc import role_of
from services.api.settings import Oidc, Settings
from shared.store.tables import workspaces
from tests.conformance.rest_stack import NOW, Stack, open_stack
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually
from tests.harness.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider

_HTTP = urllib3.PoolManager(retries=False)


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


class Opener:
    """Opens gateways that use the provider."""

    def __init__(self, provider: OidcProvider, folder: Path, held: ExitStack) -> None:
        self._oidc = Oidc(provider.issuer, CLIENT_ID, CLIENT_SECRET, "http://localhost")
        self._folder = folder
        self._held = held

    def __call__(self, *, base_path: str = "", token: str = "", **oidc: Any) -> Stack:
        oidc = {"default_role": "admin", **oidc}
        settings = Settings(auth_mode="oidc", oidc=replace(self._oidc, **oidc), token=token)
        return self._held.enter_context(open_stack(self._folder, base_path=base_path, settings=settings))


@pytest.fixture
def gateway(provider: OidcProvider, tmp_path: Path) -> Iterator[Opener]:
    with ExitStack() as held:
        yield Opener(provider, tmp_path, held)


def to_provider(client: FlaskClient, page: str = "/") -> str:
    """Request a page; return the URL of the provider that the response redirects to."""
    response = client.get(page)
    assert response.status_code == 302, response.get_data(as_text=True)
    return response.headers["Location"]


def at_provider(address: str) -> str:
    """Log in at the provider; return the URL that it redirects to."""
    response = _HTTP.request("GET", address, redirect=False)
    assert response.status == 302
    back = urlsplit(response.headers["Location"])
    return f"{back.path}?{back.query}"


def log_in(client: FlaskClient, page: str = "/") -> Any:
    return client.get(at_provider(to_provider(client, page)))


def test_login_redirects_to_the_provider_and_back_to_the_page(gateway: Opener) -> None:
    stack = gateway()
    client = stack.client
    refused = client.get("/api/v2/dags")
    assert (refused.status_code, refused.get_json()["code"]) == (401, "unauthorized")
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="restricted"'

    address = to_provider(client, "/dags/a%20b?tab=spec")
    back = client.get(at_provider(address))

    query = parse_qs(urlsplit(address).query)
    assert query["redirect_uri"] == ["http://localhost/oidc-callback"]
    assert query["scope"] == ["openid profile email"]
    assert (back.status_code, back.headers["Location"]) == (302, "/dags/a%20b?tab=spec")
    [cookie] = [each for each in back.headers.getlist("Set-Cookie") if each.startswith("oidcToken=")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    user = client.get("/api/v2/auth/me").get_json()["user"]
    assert (user["id"], user["username"], user["role"]) == ("u1", "ann", "admin")
    assert client.post("/api/v2/dags", json={"name": "a"}).status_code == 201
    assert client.get("/").status_code == 200


def test_groups_of_the_provider_give_roles(gateway: Opener, provider: OidcProvider) -> None:
    roles = (("dagway admins", "admin"), ("dev=elopers", "operator"), ("everyone", "viewer"))
    stack = gateway(roles=roles, default_role="viewer")
    found = {}
    for groups in (["dev=elopers", "everyone"], "dagway admins", ["dagway"], None, {"dagway admins": 1}):
        provider.claims["groups"] = groups
        client = stack.app.test_client()
        log_in(client)
        role = client.get("/api/v2/auth/me").get_json()["user"]["role"]
        start = client.get("/api/v2/dag-runs/a/r/dequeue").status_code
        found[str(groups)] = role, start, client.post("/api/v2/dags", json={"name": "a"}).status_code

    assert found == {
        "['dev=elopers', 'everyone']": ("operator", 200, 403),
        "dagway admins": ("admin", 200, 201),
        "['dagway']": ("viewer", 403, 403),
        "None": ("viewer", 403, 403),
        "{'dagway admins': 1}": ("viewer", 403, 403),
    }


def test_groups_of_the_provider_are_members_of_workspaces(gateway: Opener, provider: OidcProvider) -> None:
    roles = (("all", "acme:viewer"), ("dev", "acme:operator"), ("dev", "gone:admin"), ("ops", "operator"))
    stack = gateway(roles=roles, default_role="none")
    with stack.engine.begin() as connection:
        row = {"description": "", "by": "test", "created_at": NOW, "updated_at": NOW}
        connection.execute(workspaces.insert(), [{"name": name, **row} for name in ("acme", "beta")])

    def seen(groups: list[str]) -> tuple[dict[str, str], list[int]]:
        provider.claims["groups"] = groups
        client = stack.app.test_client()
        log_in(client)
        listed = client.get("/api/v2/workspaces").get_json()["workspaces"]
        codes = [client.get(f"/api/v2/dags?workspace={each}").status_code for each in ("", "acme", "beta", "gone")]
        codes.append(client.get("/api/v2/dag-runs/a/r/dequeue?workspace=acme").status_code)
        codes.append(client.post("/api/v2/dags?workspace=acme", json={"name": "a"}).status_code)
        return {each["name"]: each["role"] for each in listed}, codes

    assert seen(["dev", "all"]) == ({"acme": "operator"}, [403, 200, 403, 404, 200, 403])
    assert stack.asked.workspace == "acme"
    assert seen(["all"]) == ({"acme": "viewer"}, [403, 200, 403, 403, 403, 403])
    assert seen(["ops"]) == ({"default": "operator"}, [200, 403, 403, 403, 403, 403])
    assert seen([]) == ({}, [403, 403, 403, 403, 403, 403])


def test_users_of_the_provider_are_viewers_unless_a_setting_says_otherwise() -> None:
    assert Oidc("https://p", "id", "secret", "https://here").default_role == "viewer"
    assert role_of({"groups": ["admin", "admins"]}, Oidc("https://p", "id", "secret", "https://here")) == "viewer"


def test_only_page_requests_are_redirected_to_the_provider(gateway: Opener) -> None:
    response = gateway().client.get("/favicon.ico", headers={"Sec-Fetch-Mode": "no-cors"})

    assert (response.status_code, response.get_json()["code"]) == (401, "unauthorized")
    assert "Set-Cookie" not in response.headers


def test_behind_tls_cookies_are_secure(gateway: Opener) -> None:
    response = gateway().client.get("/", headers={"X-Forwarded-Proto": "https"})

    assert all("Secure" in each for each in response.headers.getlist("Set-Cookie"))


def test_health_assets_tokens_and_the_api_are_not_redirected(gateway: Opener) -> None:
    stack = gateway(token="static")

    assert stack.get("/health")["status"] == "healthy"
    assert stack.client.get("/healthz").status_code == 200
    assert stack.api("GET", "/dags", headers={"Authorization": "Bearer static"}).status_code == 200
    assert stack.api("GET", "/dags", headers={"Authorization": "Bearer other"}).status_code == 401
    assert stack.api("GET", "/nothing").status_code == 404
    assert stack.api("GET", "/users", headers={"Authorization": "Bearer static"}).status_code == 401


def test_redirects_and_cookies_keep_the_base_path(gateway: Opener) -> None:
    client = gateway(base_path="/dagu", client_url="http://localhost/dagu").client

    back = log_in(client, "/dagu/")

    assert back.headers["Location"] == "/dagu/"
    assert all("Path=/dagu" in each for each in back.headers.getlist("Set-Cookie"))
    assert client.get("/dagu/api/v2/dags").status_code == 200


def test_a_callback_without_a_login_is_refused(gateway: Opener) -> None:
    client = gateway().client
    back = at_provider(to_provider(client))

    forged = client.get(back.partition("&state=")[0] + "&state=other")
    fresh = client.application.test_client().get(back)

    assert [each.status_code for each in (forged, fresh)] == [400, 400]
    assert client.get("/api/v2/dags").status_code == 401


def test_a_code_is_valid_once_and_only_with_its_verifier(gateway: Opener) -> None:
    client = gateway().client
    back = at_provider(to_provider(client))
    client.set_cookie("verifier", "another")
    assert client.get(back).status_code == 401
    back = at_provider(to_provider(client))
    kept = {name: client.get_cookie(name) for name in ("state", "nonce", "verifier")}
    assert client.get(back).status_code == 302
    client.delete_cookie("oidcToken")
    for name, cookie in kept.items():
        assert cookie is not None
        client.set_cookie(name, cookie.value)

    again = client.get(back)

    assert (again.status_code, again.get_json()["code"]) == (401, "unauthorized")


def test_a_refusal_by_the_provider_is_a_403(gateway: Opener) -> None:
    client = gateway().client
    state = parse_qs(urlsplit(to_provider(client)).query)["state"][0]

    response = client.get(f"/oidc-callback?error=access_denied&state={state}")

    assert (response.status_code, response.get_json()["code"]) == (403, "forbidden")
    assert "access_denied" in response.get_json()["message"]


@pytest.mark.parametrize(
    "spoiled",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": [CLIENT_ID, "another"]},
        {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"iss": "http://elsewhere"},
        {"exp": 1},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"sub": None},
        {"preferred_username": "acme␟ann"},
    ],
    ids=str,
)
def test_an_invalid_id_token_is_refused(gateway: Opener, provider: OidcProvider, spoiled: dict[str, Any]) -> None:
    provider.token_claims = spoiled
    client = gateway().client

    response = log_in(client)

    assert (response.status_code, response.get_json()["code"]) == (401, "unauthorized")
    assert client.get_cookie("oidcToken") is None
    assert client.get("/api/v2/dags").status_code == 401


def test_a_cookie_is_checked_at_each_request(gateway: Opener, provider: OidcProvider) -> None:
    client = gateway().client
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none"}, {"sub": "u1", "aud": CLIENT_ID, "iss": provider.issuer, "exp": 4_000_000_000})
    )
    tokens = {
        "good": provider.id_token(),
        "expired": provider.id_token(exp=int(time.time()) - 60),
        "for another": provider.id_token(aud="another"),
        "by another": provider.id_token(key=stranger),
        "by the secret": provider.id_token(key=CLIENT_SECRET.ljust(32), algorithm="HS256"),
        "unsigned": f"{unsigned}.",
        "junk": "x.y.z",
    }

    found = {}
    for name, token in tokens.items():
        client.set_cookie("oidcToken", token)
        found[name] = client.get("/api/v2/dags").status_code

    assert found == {name: 200 if name == "good" else 401 for name in tokens}


def test_requests_from_other_sites_are_anonymous(gateway: Opener, provider: OidcProvider) -> None:
    stack = gateway()
    log_in(stack.client)

    def dequeue(site: str) -> int:
        return int(stack.api("GET", "/dag-runs/a/r/dequeue", headers={"Sec-Fetch-Site": site}).status_code)

    assert [dequeue(site) for site in ("cross-site", "same-site", "same-origin")] == [401, 401, 200]
    assert len(stack.seen) == 1


def test_a_new_key_of_the_provider_is_found_and_the_old_one_forgotten(gateway: Opener, provider: OidcProvider) -> None:
    client = gateway().client
    log_in(client)
    old = provider.id_token()

    provider.rotate()

    client.set_cookie("oidcToken", provider.id_token())
    eventually(lambda: client.get("/api/v2/dags").status_code == 200)
    client.set_cookie("oidcToken", old)
    assert client.get("/api/v2/dags").status_code == 401
    before, began_s = len(provider.fetches), time.monotonic()
    for _ in range(20):
        client.get("/api/v2/dags")
    pauses = (time.monotonic() - began_s) // oidc._PAUSE_S
    assert len(provider.fetches) - before <= 1 + pauses


def test_only_addresses_on_the_whitelist_can_log_in(gateway: Opener, provider: OidcProvider) -> None:
    stack = gateway(whitelist=("ann@example.org",))
    assert log_in(stack.client).status_code == 302
    assert stack.client.get("/api/v2/dags").status_code == 200

    # Nobody gets in with a token that the callback has not seen.
    other = stack.app.test_client()
    other.set_cookie("oidcToken", provider.id_token())
    assert other.get("/api/v2/dags").status_code == 401
    unknown: list[dict[str, Any]] = [{"email": "eve@example.org"}, {"email": None}, {"sub": "u2"}]
    for userinfo in (*unknown, {"email_verified": False}, {"email_verified": "false"}):
        provider.userinfo = userinfo
        refused = log_in(other)
        assert refused.status_code == (401 if "sub" in userinfo else 403), userinfo
    assert other.get_cookie("oidcAdmitted") is None

    provider.userinfo = {"email_verified": "true"}
    assert log_in(other).status_code == 302


def test_logout_ends_the_session_here_and_at_the_provider(gateway: Opener, provider: OidcProvider) -> None:
    client = gateway().client
    log_in(client)

    assert client.get("/oidc-logout").headers["Location"].startswith(f"{provider.issuer}/bye?")
    assert client.get("/api/v2/dags").status_code == 401


def test_logins_and_logouts_are_audited(gateway: Opener) -> None:
    stack = gateway(default_role="viewer")
    log_in(stack.client)
    stack.client.get("/oidc-callback?state=forged")
    stack.client.get("/oidc-logout")
    stack.client.get("/oidc-logout")

    found = [(each.operation, each.actor, each.target.id, each.code) for each in stack.audited()]
    assert sorted(
        (operation, one.kind, one.name, one.id, one.role, target, code) for operation, one, target, code in found
    ) == [
        ("oidcLogin", "anonymous", "anonymous", "anonymous", "", "", "bad_request"),
        ("oidcLogin", "oidc", "ann", "u1", "viewer", "u1", ""),
        ("oidcLogout", "oidc", "ann", "u1", "viewer", "u1", ""),
    ]


def test_a_name_that_a_user_may_choose_at_the_provider_does_not_hide_who_made_a_change(gateway: Opener) -> None:
    stack = gateway(default_role="operator")
    stack.add_dag("d")
    log_in(stack.client)

    assert stack.client.post("/api/v2/dags/d/start", json={}).status_code == 200
    assert (stack.command.actor.name, stack.command.actor.id) == ("ann", "u1")


def test_redirects_stay_on_this_server(gateway: Opener) -> None:
    client = gateway().client
    for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", ""):
        back = at_provider(to_provider(client))
        client.set_cookie("originalURL", wanted)
        assert client.get(back).headers["Location"] == "/"
        client.delete_cookie("oidcToken")


def test_sessions_outlive_an_outage_of_the_provider(gateway: Opener, provider: OidcProvider, tmp_path: Path) -> None:
    stack = gateway()
    log_in(stack.client)
    token = provider.id_token()
    provider.stop()
    assert stack.client.get("/api/v2/dags").status_code == 200
    # A gateway that never reached it knows nobody, and says when to come again.
    (tmp_path / "other").mkdir()
    with open_stack(tmp_path / "other", settings=stack.deps.settings) as other:
        other.client.set_cookie("oidcToken", token)
        for path in ("/", "/api/v2/dags"):
            response = other.client.get(path)
            assert (response.status_code, response.get_json()["code"]) == (503, "service_unavailable")
        assert other.get("/health")["status"] == "healthy"


def test_a_real_server_turns_it_on_by_its_settings(provider: OidcProvider, tmp_path: Path) -> None:
    env = {
        "DAGU_AUTH_OIDC_ISSUER": provider.issuer,
        "DAGU_AUTH_OIDC_CLIENT_ID": CLIENT_ID,
        "DAGU_AUTH_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "DAGWAY_AUTH_OIDC_CLIENT_URL": "http://127.0.0.1",
    }
    with Embedded(tmp_path, env=env) as system:
        door = f"http://127.0.0.1:{system.process.env['DAGWAY_PORT']}"
        assert system.client.ask("GET", "/dags").status == 401
        page = _HTTP.request("GET", f"{door}/dags", redirect=False)
        cookies = "; ".join(each.partition(";")[0] for each in page.headers.getlist("Set-Cookie"))
        back = at_provider(page.headers["Location"])
        done = _HTTP.request("GET", door + back, headers={"Cookie": cookies}, redirect=False)
        assert (done.status, done.headers["Location"]) == (302, "/dags")
        [token] = [each for each in done.headers.getlist("Set-Cookie") if each.startswith("oidcToken=")]
        assert _HTTP.request("GET", f"{door}/api/v2/dags", headers={"Cookie": token.partition(";")[0]}).status == 200
