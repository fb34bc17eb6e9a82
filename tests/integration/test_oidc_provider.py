"""What a gateway believes of an OpenID Connect provider and of the cookies of a login there."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import urllib3

from services.api.auth.oidc import PROOF_COOKIE, TOKEN_COOKIE
from services.api.auth.oidc import OidcProvider as Client
from services.api.problems import Problem
from services.api.settings import Oidc
from tests.harness.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


def client_of(issuer: str, *whitelist: str) -> Client:
    return Client(Oidc(issuer, CLIENT_ID, CLIENT_SECRET, "http://localhost", whitelist=whitelist))


def test_metadata_of_another_issuer_are_refused_and_the_log_names_both(
    provider: OidcProvider, caplog: pytest.LogCaptureFixture
) -> None:
    almost = f"{provider.issuer}/"  # its metadata are found all the same

    with pytest.raises(Problem) as refused:
        client_of(almost).login_url(state="s", nonce="n", verifier="v")

    assert refused.value.status == 503
    (record,) = [each for each in caplog.records if each.message == "oidc.provider_down"]
    assert f"{provider.issuer!r}, but DAGWAY_AUTH_OIDC_ISSUER is {almost!r}" in vars(record)["error"]


def test_a_login_ends_when_the_whitelist_changes(provider: OidcProvider) -> None:
    before, after = client_of(provider.issuer, "ann@example.org"), client_of(provider.issuer, "bob@example.org")
    token = provider.id_token()
    cookies = {TOKEN_COOKIE: token, PROOF_COOKIE: before.proof(token)}

    assert before.identify(cookies) is not None
    assert after.identify(cookies) is None


def test_a_token_that_names_no_key_needs_the_only_one_for_signatures(
    provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = jwt.decode(provider.id_token(), options={"verify_signature": False})
    unnamed = jwt.encode(claims, provider._key, "RS256")
    (own,) = provider._keys()["keys"]
    provider.rotate()
    (other,) = provider._keys()["keys"]

    def accepted(*keys: dict[str, str]) -> bool:
        monkeypatch.setattr(provider, "_keys", lambda: {"keys": keys})
        return client_of(provider.issuer).identify({TOKEN_COOKIE: unnamed}) is not None

    assert accepted(own)
    assert accepted(own, {**other, "use": "enc"})
    assert not accepted(own, other)
    assert not accepted({**own, "use": "enc"})


@pytest.mark.parametrize(
    ("announced", "said", "admitted"),
    [
        (None, (None, None), True),
        (["sub", "email"], (None, None), True),
        (["sub", "email_verified"], (None, None), False),
        (["sub", "email_verified"], (True, None), True),
        (None, (False, None), False),
        (None, (False, True), False),
        (None, (None, "false"), False),
        (None, (None, "True"), True),
    ],
)
def test_an_address_of_the_whitelist_is_verified_if_the_provider_ever_says_so(
    provider: OidcProvider,
    monkeypatch: pytest.MonkeyPatch,
    announced: list[str] | None,
    said: tuple[bool | None, bool | str | None],
    admitted: bool,
) -> None:
    in_token, in_userinfo = said
    metadata = provider._discovery() | ({} if announced is None else {"claims_supported": announced})
    monkeypatch.setattr(provider, "_discovery", lambda: metadata)
    provider.token_claims = {"email_verified": in_token}
    provider.userinfo = {} if in_userinfo is None else {"email_verified": in_userinfo}
    client = client_of(provider.issuer, "ann@example.org")
    code = log_in(client)

    if admitted:
        assert client.redeem(code, nonce="n", verifier="v")[1].subject == "u1"
    else:
        with pytest.raises(Problem, match="not allowed to log in"):
            client.redeem(code, nonce="n", verifier="v")


def log_in(client: Client) -> str:
    """Log in at the provider; return the code that it sends the browser back with."""
    answer = urllib3.request("GET", client.login_url(state="s", nonce="n", verifier="v"), redirect=False)
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
