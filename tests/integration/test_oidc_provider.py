"""What a gateway believes of an OpenID Connect provider and of the cookies of a login there."""

from collections.abc import Iterator

import jwt
import pytest

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
