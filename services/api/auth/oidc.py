"""Login with an OpenID Connect provider, in mode ``oidc`` (as in Dagu's REST API v2).

The authorization code is exchanged for an ID token. Its signature, issuer, audience, times and nonce are verified. The
ID token is the session and is kept in a cookie. The gateway stores nothing, so every gateway accepts the session.

With a whitelist, a second cookie proves that the callback admitted this ID token. The ID token alone proves nothing:
the provider also gives one to users who are not on the whitelist.
"""

import base64
import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus, urlencode

import jwt
import urllib3

from services.api.auth.principals import Principal
from services.api.problems import UNAVAILABLE, Problem
from services.api.settings import Oidc
from shared.foreign_json import read_json
from shared.roles import RANK
from shared.workspaces import ForeignName, check_unmarked

__all__ = [
    "PROOF_COOKIE",
    "TOKEN_COOKIE",
    "OidcIdentity",
    "OidcProvider",
    "new_verifier",
    "role_of",
]

_log = logging.getLogger(__name__)
TOKEN_COOKIE, PROOF_COOKIE = "oidcToken", "oidcAdmitted"
_TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 1024 * 1024
_FRESH_S = 600.0
_PAUSE_S = 2.0
"""Minimum time between two requests for the metadata or the keys: forged tokens must not cause a request each."""
_LEEWAY_S = 30
_MOST_CHARS = 200
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Only algorithms with public keys: unsigned tokens and tokens signed with the client secret are refused."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OidcIdentity:
    """The user that an ID token names. ``expires_at``: when the token expires, in seconds since 1970."""

    subject: str
    username: str
    role: str
    expires_at: int
    members: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The workspaces, other than the default one, in which a group of the user has a role, with the highest role."""

    @property
    def principal(self) -> Principal:
        """The user as the principal of a request. Its id is the subject: a user may choose the name at the provider."""
        return Principal("oidc", self.subject[:_MOST_CHARS], self.username, self.role, members=self.members)


class OidcProvider:
    """A client of the provider. Caches the provider's metadata and keys, and uses the cache while it is unreachable."""

    def __init__(self, settings: Oidc) -> None:
        self.settings = settings
        self._pool = urllib3.PoolManager(num_pools=4, maxsize=4, timeout=urllib3.Timeout(total=_TIMEOUT_S))
        self._metadata = _Cached(self._fetch_metadata)
        self._keys = _Cached(self._fetch_keys)

    # -- logging in ---------------------------------------------------------------------------

    def login_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Return the URL where a browser logs in. Raises a 503 if the provider has never been reachable."""
        endpoint = str(self._metadata.get()["authorization_endpoint"])
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *self.settings.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def redeem(self, code: str, *, nonce: str, verifier: str) -> tuple[str, OidcIdentity]:
        """Exchange the authorization code for an ID token; return the token and its user.

        Raises:
            Problem: 401 for an invalid code or token, 403 for a user who is not on the whitelist,
                503 if the provider cannot be reached.
        """
        answer = self._exchange(code, verifier)
        token = str(answer.get("id_token") or "")
        try:
            claims = self._claims(token)
        except jwt.PyJWTError as error:
            _log.warning("oidc.token_refused", extra={"error": str(error)})
            raise _refused("The ID token of the OpenID Connect provider is not valid; log in again") from error
        if not hmac.compare_digest(str(claims.get("nonce") or "").encode(), nonce.encode()):
            raise _refused("The ID token of the OpenID Connect provider belongs to another login; log in again")
        if self.settings.whitelist:
            email = self._email(claims, str(answer.get("access_token") or ""))
            if email not in self.settings.whitelist:
                _log.warning("oidc.not_on_whitelist", extra={"subject": str(claims["sub"])})
                raise Problem(
                    403,
                    "forbidden",
                    "Your email address is not allowed to log in here; ask an administrator of this server",
                )
        try:
            return token, _identity(claims, self.settings)
        except ForeignName as error:
            raise _refused(str(error)) from error

    def logout_url(self) -> str | None:
        """Return the provider's URL that ends the user's session there, or ``None`` if the provider has no such URL."""
        endpoint = self._metadata.get().get("end_session_endpoint")
        if not endpoint:
            return None
        return f"{endpoint}?{urlencode({'client_id': self.settings.client_id})}"

    # -- being logged in ----------------------------------------------------------------------

    def identify(self, cookies: Mapping[str, str]) -> OidcIdentity | None:
        """Return the user of the ID token in these cookies, or ``None`` if there is no valid token."""
        token = cookies.get(TOKEN_COOKIE, "")
        if not token:
            return None
        if self.settings.whitelist and not hmac.compare_digest(
            cookies.get(PROOF_COOKIE, "").encode("utf-8", "replace"), self.proof(token).encode()
        ):
            return None
        try:
            return _identity(self._claims(token), self.settings)
        except (jwt.PyJWTError, ForeignName):
            return None

    def proof(self, token: str) -> str:
        """Return the proof that a token was admitted under the current whitelist."""
        message = "\0".join((*self.settings.whitelist, token))
        return hmac.digest(self.settings.client_secret.encode(), message.encode("utf-8", "replace"), "sha256").hex()

    # -- metadata and keys of the provider ----------------------------------------------------------

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
            raise jwt.InvalidAudienceError("its authorized party (azp) is another client")
        return claims

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        found = _matching(self._keys.get(), header)
        if found is None:
            # The provider may have begun to sign with a new key.
            found = _matching(self._keys.get(newer=True), header)
        if found is None:
            raise jwt.InvalidKeyError("it is signed with a key that the provider does not publish")
        return found

    def _fetch_metadata(self) -> dict[str, Any]:
        found = self._json("GET", f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.settings.issuer:
            raise _Unusable(
                f"the OpenID Connect provider's issuer is {found.get('issuer')!r}, but DAGWAY_AUTH_OIDC_ISSUER is "
                f"{self.settings.issuer!r}: make them equal"
            )
        missing = {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys()
        if missing:
            raise _Unusable(f"the metadata of the OpenID Connect provider lack {', '.join(sorted(missing))}")
        return found

    def _fetch_keys(self) -> jwt.PyJWKSet:
        try:
            return jwt.PyJWKSet.from_dict(self._json("GET", str(self._metadata.get()["jwks_uri"])))
        except jwt.PyJWTError as error:
            raise _Unusable(f"the keys (jwks_uri) of the OpenID Connect provider are invalid: {error}") from error

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
            # Id and secret are each form-encoded before they are joined (RFC 6749 section 2.3.1).
            pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
            headers |= urllib3.make_headers(basic_auth=pair)
        else:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        try:
            return self._json("POST", str(metadata["token_endpoint"]), headers, urlencode(form).encode())
        except _Unusable as error:
            if error.status in {400, 401, 403}:
                _log.warning("oidc.code_refused", extra={"error": str(error)})
                raise _refused(
                    "The OpenID Connect provider refused this login: it is expired or was used before; log in again"
                ) from error
            raise _away(error) from error

    def _email(self, claims: Mapping[str, Any], access_token: str) -> str:
        """Return the user's email address, or an empty text if it is absent or not verified by the provider."""
        found: Mapping[str, Any] = claims
        endpoint = self._metadata.get().get("userinfo_endpoint")
        if endpoint and access_token:
            try:
                found = self._json("GET", str(endpoint), {"Authorization": f"Bearer {access_token}"})
            except _Unusable as error:
                raise _away(error) from error
            if found.get("sub") != claims["sub"]:
                raise _refused("The OpenID Connect provider's ID token and userinfo name different users; log in again")
        email = str(found.get("email") or "")
        said = [each["email_verified"] for each in (claims, found) if "email_verified" in each]
        if said:
            verified = all(str(each).lower() == "true" for each in said)  # some providers send it as text
        else:
            # Microsoft Entra ID and AD FS never send it. Whoever says that it does has not verified this address.
            verified = "email_verified" not in str(self._metadata.get().get("claims_supported"))
        if email and not verified:
            _log.warning("oidc.email_unverified", extra={"subject": str(claims["sub"])})
        return email if verified else ""

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
            content = read_json(data)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _Unusable(f"{url}: {type(error).__name__}: {error}") from error
        if not isinstance(content, dict):
            raise _Unusable(f"{url} answered with JSON that is not an object")
        return content


class _Unusable(Exception):
    """The provider did not answer, or its response cannot be used. ``status`` is 0 if there is no response."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _Cached(Generic[T]):
    """A cached value. It is fetched when first needed, and fetched again after ``_FRESH_S``."""

    def __init__(self, fetch: Callable[[], T]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._value: T | None = None
        self._tried_at = self._fetched_at = float("-inf")

    def get(self, *, newer: bool = False) -> T:
        """Return the value, also an old one if the provider cannot be reached. Raises a 503 if there is no value.

        ``newer``: fetch the value again, even if it is not old.
        """
        known, now = self._value, time.monotonic()
        if known is not None and not newer and now - self._fetched_at <= _FRESH_S:
            return known
        # While one request fetches the value again, other requests use the old value.
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
            _log.warning("oidc.provider_down", extra={"error": str(error)})
        finally:
            self._tried_at = time.monotonic()


def new_verifier() -> str:
    """Return a new code verifier (RFC 7636). Also used for states and nonces."""
    return secrets.token_urlsafe(32)


def _challenge_of(verifier: str) -> str:
    """Return the code challenge of a verifier (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _matching(keys: jwt.PyJWKSet, header: Mapping[str, Any]) -> jwt.PyJWK | None:
    usable = [key for key in keys.keys if key.public_key_use in {None, "sig"}]
    if "kid" in header:
        return next((key for key in usable if key.key_id == header["kid"]), None)
    return usable[0] if len(usable) == 1 else None


def _identity(claims: Mapping[str, Any], settings: Oidc) -> OidcIdentity:
    """Return the user of these claims. Raises ``ForeignName`` if the username has the mark of stored names."""
    subject = str(claims["sub"])
    username = str(claims.get("preferred_username") or claims.get("email") or subject)
    for text, what in ((username, "the username"), (subject, "the subject")):
        check_unmarked(text, f"{what} at the OpenID Connect provider")
    role, members = role_of(claims, settings), _members_of(claims, settings)
    return OidcIdentity(subject, username[:_MOST_CHARS], role, int(claims["exp"]), members)


def role_of(claims: Mapping[str, Any], settings: Oidc) -> str:
    """Return the highest role of the groups in these claims, or the default role if none of them has a role.

    A claim with one group may be a text instead of a list. A claim of any other type has no groups.
    """
    roles = [role for role in _given(claims, settings) if ":" not in role]
    return max(roles, key=lambda role: RANK[role], default=settings.default_role)


def _members_of(claims: Mapping[str, Any], settings: Oidc) -> dict[str, str]:
    """Return the highest role of the groups in these claims in each workspace other than the default one."""
    found: dict[str, str] = {}
    for given in _given(claims, settings):
        workspace, colon, role = given.rpartition(":")
        if colon:
            found[workspace] = max(role, found.get(workspace, role), key=lambda each: RANK[each])
    return found


def _given(claims: Mapping[str, Any], settings: Oidc) -> list[str]:
    """Return the grants of the groups in these claims, each ``role`` or ``workspace:role``."""
    given = claims.get(settings.groups_claim)
    groups = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    return [role for group, role in settings.roles if group in groups]


def _refused(message: str) -> Problem:
    return Problem(401, "unauthorized", message)


def _away(cause: Exception | None) -> Problem:
    if cause is not None:
        _log.warning("oidc.provider_down", extra={"error": str(cause)})
    message = "The OpenID Connect provider cannot be reached or its response is unusable; try again soon"
    return Problem(UNAVAILABLE, "service_unavailable", message, headers={"Retry-After": "5"})
