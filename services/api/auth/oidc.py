"""The OpenID Connect provider that vouches for people in mode ``oidc`` (REST contract section 7).

Codes are exchanged for ID tokens, and ID tokens are checked: signature by the provider's present
keys, issuer, audience, time, nonce. An ID token is its owner's session, kept in a cookie; nothing is
stored here, so any gateway takes what another has issued.

With a whitelist, a second cookie proves that the callback has let this token in. The token alone
would not do: who is not on the list can have the provider make one, too.
"""

import base64
import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus, urlencode

import jwt
import urllib3

from services.api.problems import UNAVAILABLE, Problem
from services.api.settings import Oidc

__all__ = ["PROOF_COOKIE", "TOKEN_COOKIE", "OidcIdentity", "OidcProvider", "challenge_of", "new_verifier"]

_log = logging.getLogger(__name__)
TOKEN_COOKIE, PROOF_COOKIE = "oidcToken", "oidcAdmitted"
_TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 1024 * 1024
_FRESH_S = 600.0
_PAUSE_S = 2.0
"""Between two attempts to fetch the same thing: forged tokens must not make the gateway hammer its provider."""
_LEEWAY_S = 30
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Only what is checked with public keys: a token signed with the client's secret, or not at all, is none."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OidcIdentity:
    """Whom an ID token is about. ``expires_at`` is in seconds since 1970."""

    subject: str
    username: str
    expires_at: int


class OidcProvider:
    """Asks the provider as little as possible: what it publishes is kept, also while it is away."""

    def __init__(self, settings: Oidc) -> None:
        self.settings = settings
        self._pool = urllib3.PoolManager(num_pools=4, maxsize=4, timeout=urllib3.Timeout(total=_TIMEOUT_S))
        self._metadata = _Kept(self._fetch_metadata)
        self._keys = _Kept(self._fetch_keys)

    # -- logging in ---------------------------------------------------------------------------

    def login_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Return where a browser must go to log in. Raises a 503 while the provider was never reached."""
        endpoint = str(self._metadata.get()["authorization_endpoint"])
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *self.settings.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def redeem(self, code: str, *, nonce: str, verifier: str) -> tuple[str, OidcIdentity]:
        """Return the ID token that the code stands for, and whose it is.

        Raises:
            Problem: 401 for a code or a token that is not good, 403 for who is not on the whitelist,
                503 while the provider is away.
        """
        answer = self._exchange(code, verifier)
        token = str(answer.get("id_token") or "")
        try:
            claims = self._claims(token)
        except jwt.PyJWTError as error:
            _log.warning("oidc.token_refused", extra={"error": str(error)})
            raise _refused("The provider's ID token is not valid") from error
        if not hmac.compare_digest(str(claims.get("nonce") or "").encode(), nonce.encode()):
            raise _refused("The provider's ID token was made for another login")
        if self.settings.whitelist:
            email = self._email(claims, str(answer.get("access_token") or ""))
            if email not in self.settings.whitelist:
                _log.warning("oidc.not_on_whitelist", extra={"subject": str(claims["sub"])})
                raise Problem(403, "forbidden", "You are not among those who may use this server")
        return token, _identity(claims)

    def logout_url(self) -> str | None:
        """Return where a browser must go to end the session with the provider itself, if that has such a place."""
        endpoint = self._metadata.get().get("end_session_endpoint")
        if not endpoint:
            return None
        return f"{endpoint}?{urlencode({'client_id': self.settings.client_id})}"

    # -- being logged in ----------------------------------------------------------------------

    def identify(self, cookies: Mapping[str, str]) -> OidcIdentity | None:
        """Return who is logged in by these cookies."""
        token = cookies.get(TOKEN_COOKIE, "")
        if not token:
            return None
        if self.settings.whitelist and not hmac.compare_digest(
            cookies.get(PROOF_COOKIE, "").encode("utf-8", "replace"), self.proof(token).encode()
        ):
            return None
        try:
            return _identity(self._claims(token))
        except jwt.PyJWTError:
            return None

    def proof(self, token: str) -> str:
        """Return the proof that a token was let in under the present whitelist."""
        message = "\0".join((*self.settings.whitelist, token))
        return hmac.digest(self.settings.client_secret.encode(), message.encode("utf-8", "replace"), "sha256").hex()

    # -- what the provider publishes ----------------------------------------------------------

    def _claims(self, token: str) -> dict[str, Any]:
        key = self._key(jwt.get_unverified_header(token))
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=_ALGORITHMS,
            audience=self.settings.client_id,
            issuer=self.settings.issuer,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self.settings.client_id:
            raise jwt.InvalidAudienceError("made for another party")
        return claims

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        found = _matching(self._keys.get(), header)
        if found is None:
            # The provider may have begun to sign with a new one.
            found = _matching(self._keys.get(newer=True), header)
        if found is None:
            raise jwt.InvalidKeyError("signed with a key the provider does not publish")
        return found

    def _fetch_metadata(self) -> dict[str, Any]:
        found = self._json("GET", f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.settings.issuer:
            raise _Unusable(f"the provider calls itself {found.get('issuer')!r}, not {self.settings.issuer!r}")
        missing = {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys()
        if missing:
            raise _Unusable(f"the provider names no {', '.join(sorted(missing))}")
        return found

    def _fetch_keys(self) -> jwt.PyJWKSet:
        try:
            return jwt.PyJWKSet.from_dict(self._json("GET", str(self._metadata.get()["jwks_uri"])))
        except jwt.PyJWTError as error:
            raise _Unusable(f"the provider's keys cannot be read: {error}") from error

    def _exchange(self, code: str, verifier: str) -> dict[str, Any]:
        metadata, settings = self._metadata.get(), self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if "client_secret_basic" in metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            # Each part is form-encoded before they are joined (RFC 6749 section 2.3.1).
            pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
            headers |= urllib3.make_headers(basic_auth=pair)
        else:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        try:
            return self._json("POST", str(metadata["token_endpoint"]), headers, urlencode(form).encode())
        except _Unusable as error:
            if error.status in {400, 401, 403}:
                _log.warning("oidc.code_refused", extra={"error": str(error)})
                raise _refused("The provider does not know this login, or any more") from error
            raise _away(error) from error

    def _email(self, claims: Mapping[str, Any], access_token: str) -> str:
        """Return the address to look for in the whitelist, empty if there is none that can be trusted."""
        found: Mapping[str, Any] = claims
        endpoint = self._metadata.get().get("userinfo_endpoint")
        if endpoint and access_token:
            try:
                found = self._json("GET", str(endpoint), {"Authorization": f"Bearer {access_token}"})
            except _Unusable as error:
                raise _away(error) from error
            if found.get("sub") != claims["sub"]:
                raise _refused("The provider's answers are about two different people")
        return "" if found.get("email_verified") is False else str(found.get("email") or "")

    @property
    def _redirect_uri(self) -> str:
        return f"{self.settings.client_url}/oidc-callback"

    def _json(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> dict[str, Any]:
        try:
            answer = self._pool.request(
                method, url, body=body, headers=headers, retries=False, redirect=False, preload_content=False
            )
            data = answer.read(_MAX_ANSWER_BYTES, decode_content=True)
            answer.release_conn()
            if answer.status != 200:
                raise _Unusable(f"{url} answered {answer.status}", answer.status)
            content = json.loads(data)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _Unusable(f"{url}: {type(error).__name__}: {error}") from error
        if not isinstance(content, dict):
            raise _Unusable(f"{url} answered with something else than an object")
        return content


class _Unusable(Exception):
    """The provider did not answer, or not with what was asked for; ``status`` is 0 if it answered nothing."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _Kept(Generic[T]):
    """One published thing: fetched when it is first wanted, and anew when it is old."""

    def __init__(self, fetch: Callable[[], T]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._value: T | None = None
        self._tried_at = self._fetched_at = float("-inf")

    def get(self, *, newer: bool = False) -> T:
        """Return it; what is old stands in while the provider is away. Raises a 503 if there never was any."""
        known, now = self._value, time.monotonic()
        if known is not None and not newer and now - self._fetched_at <= _FRESH_S:
            return known
        # While one request fetches it anew, the others go on with what there is.
        if self._lock.acquire(blocking=known is None or newer):
            try:
                self._renew()
            finally:
                self._lock.release()
        if self._value is None:
            raise _away(None)
        return self._value

    def _renew(self) -> None:
        if time.monotonic() - self._tried_at <= _PAUSE_S:
            return
        try:
            self._value = self._fetch()
            self._fetched_at = time.monotonic()
        except (_Unusable, Problem) as error:
            _log.warning("oidc.provider_away", extra={"error": str(error)})
        finally:
            self._tried_at = time.monotonic()


def new_verifier() -> str:
    """Return a fresh code verifier (RFC 7636); states and nonces are drawn in the same way."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """Return the challenge that goes ahead of a verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _matching(keys: jwt.PyJWKSet, header: Mapping[str, Any]) -> jwt.PyJWK | None:
    usable = [key for key in keys.keys if key.public_key_use in {None, "sig"}]
    if "kid" in header:
        return next((key for key in usable if key.key_id == header["kid"]), None)
    return usable[0] if len(usable) == 1 else None


def _identity(claims: Mapping[str, Any]) -> OidcIdentity:
    subject = str(claims["sub"])
    username = str(claims.get("preferred_username") or claims.get("email") or subject)
    return OidcIdentity(subject, username[:200], int(claims["exp"]))


def _refused(message: str) -> Problem:
    return Problem(401, "unauthorized", message)


def _away(cause: Exception | None) -> Problem:
    if cause is not None:
        _log.warning("oidc.provider_away", extra={"error": str(cause)})
    message = "The OpenID Connect provider does not answer as it should; try again soon"
    return Problem(UNAVAILABLE, "service_unavailable", message, headers={"Retry-After": "5"})
