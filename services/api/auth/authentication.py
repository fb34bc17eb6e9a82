"""Who asks, and whether they may (REST contract section 7).

Order: login token, API key, static token, Basic, the cookie of an OpenID Connect login; then nobody,
if nobody is welcome. A wrong Bearer falls through; wrong Basic credentials are refused at once, but
only where Basic is enabled.
"""

import base64
import binascii
import hmac
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import jwt
from werkzeug.http import parse_cookie

from services.api.auth.oidc import OidcProvider
from services.api.auth.principals import NOBODY, Permission, Principal, Role
from services.api.auth.tokens import HOOK_PREFIX, KEY_PREFIX, Passwords, secret_hash
from services.api.problems import Problem
from services.api.settings import Settings
from shared.contracts.commands.accounts import TouchCredential
from shared.store.reads.reader import Reads, UserRow

if TYPE_CHECKING:
    from services.api.command_client import Commands

__all__ = ["ADDRESS", "Auth", "forbidden", "principal_of", "unauthorized"]

_RANK = {"viewer": 0, "operator": 1, "manager": 2, "admin": 3}
_TOUCH_EVERY = timedelta(seconds=1)
"""A key that asks a hundred times a second costs one command in it."""
_ALGORITHM = "HS256"
ADDRESS = "address "
"""What a name begins with that is nobody's, but where requests come from."""


def unauthorized(message: str, settings: Settings | None = None) -> Problem:
    """Return a 401; with ``settings`` it names the way to identify oneself."""
    headers = {}
    if settings is not None:
        scheme = "Basic" if settings.basic else "Bearer"
        headers["WWW-Authenticate"] = f'{scheme} realm="restricted"'
    return Problem(401, "unauthorized", message, headers=headers)


def forbidden(message: str) -> Problem:
    """Return a 403."""
    return Problem(403, "forbidden", message)


class Auth:
    """Identifies and authorises; keeps nothing but when it last noted a key's use."""

    def __init__(self, settings: Settings, reads: Reads, commands: "Commands", clock: Callable[[], datetime]) -> None:
        self.settings = settings
        self.passwords = Passwords()
        self.limits = LoginLimits()
        self.oidc = OidcProvider(settings.oidc) if settings.oidc else None
        self._reads = reads
        self._commands = commands
        self._clock = clock
        self._touched: dict[str, datetime] = {}
        self._lock = threading.Lock()

    # -- a request ----------------------------------------------------------------------------

    def admit(self, role: Role, permission: Permission | None, headers: Mapping[str, str]) -> Principal:
        """Return who asks; raises 401 or 403 where they may not do what needs this role and permission."""
        settings = self.settings
        if role == "public":
            return NOBODY
        asks = self.identify(headers.get("Authorization", ""))
        if not asks.known and self.oidc is not None:
            asks = _by_cookie(self.oidc, headers)
        if not asks.known and settings.auth_required:
            raise unauthorized("Credentials are needed, and none that are valid were given", settings)
        if permission == "write_dags" and not settings.write_dags:
            raise forbidden("This server is configured not to let DAGs be changed")
        if permission == "run_dags" and not settings.run_dags:
            raise forbidden("This server is configured not to let runs be started or changed")
        if settings.builtin and _RANK[asks.role] < _RANK.get(role, 0):
            raise forbidden(f"This needs the role {role}; {asks.username} has {asks.role}")
        return asks

    def identify(self, header: str) -> Principal:
        """Return who a header's credentials are of; raises 401 for wrong Basic ones."""
        scheme, _, value = header.partition(" ")
        scheme, value = scheme.lower(), value.strip()
        if scheme == "bearer" and value:
            found = self._by_bearer(value)
            if found is not None:
                return found
        if scheme == "basic" and self.settings.basic:
            return self._by_basic(value)
        return NOBODY

    def _by_bearer(self, value: str) -> Principal | None:
        settings = self.settings
        if settings.builtin:
            if value.startswith(KEY_PREFIX) and not value.startswith(HOOK_PREFIX):
                found = self._by_key(value)
            else:
                found = self._by_login(value)
            if found is not None:
                return found
        if settings.token and _same(value, settings.token):
            return Principal("token", "api-token", "api-token", "admin")
        return None

    def _by_login(self, value: str) -> Principal | None:
        try:
            claims = jwt.decode(
                value, self.settings.token_secret, algorithms=[_ALGORITHM], options={"require": ["exp", "uid"]}
            )
        except (jwt.InvalidTokenError, ValueError):
            return None
        # Read again at each request: roles and deletions act at once.
        user = self._reads.user(str(claims["uid"])[:36])
        return None if user is None else principal_of(user)

    def _by_key(self, value: str) -> Principal | None:
        key = self._reads.api_key_by_hash(secret_hash(value))
        if key is None:
            return None
        self.touch("api_key", key.id, key.last_used_at)
        return Principal("api_key", f"apikey:{key.id}", f"apikey:{key.name}", key.role)

    def _by_basic(self, value: str) -> Principal:
        settings = self.settings
        try:
            username, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            username = password = ""
        if _same(username, settings.basic_username) & _same(password, settings.basic_password):
            return Principal("basic", username, username, "admin")
        raise unauthorized("Wrong username or password", settings)

    # -- logins -------------------------------------------------------------------------------

    def issue(self, user: UserRow) -> tuple[str, datetime]:
        """Return a login token and when it ends."""
        now = self._clock()
        ends = now + timedelta(seconds=self.settings.token_ttl_s)
        claims = {
            "sub": user.id,
            "uid": user.id,
            "username": user.username,
            "role": user.role,
            "iat": int(now.timestamp()),
            "exp": int(ends.timestamp()),
        }
        return jwt.encode(claims, self.settings.token_secret, algorithm=_ALGORITHM), ends

    def touch(self, kind: Literal["api_key", "webhook"], row_id: str, last_used_at: datetime | None) -> None:
        """Note that a credential was used: at its first use at once, then without waiting, once a second at most."""
        now = self._clock()
        with self._lock:
            known = max(filter(None, (self._touched.get(row_id), last_used_at)), default=None)
            if known is not None and now - known < _TOUCH_EVERY:
                return
            self._touched[row_id] = now
            if len(self._touched) > 10_000:
                self._touched.clear()
        sent = self._commands.send(TouchCredential(kind=kind, id=row_id))
        if last_used_at is None:
            self._commands.wait_quietly(sent)


class LoginLimits:
    """So many failures per name and address in so long, then a pause; kept by each gateway for itself.

    Behind a proxy everybody has one address: it bears more, so that nobody can lock out all others.
    """

    def __init__(self, *, failures: int = 10, failures_per_address: int = 100, window_s: float = 60) -> None:
        self._failures = failures
        self._failures_per_address = failures_per_address
        self._window_s = window_s
        self._seen: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def check(self, *names: str) -> None:
        """Raise a 429 where one of the names failed too often lately."""
        now = time.monotonic()
        with self._lock:
            for name in names:
                recent = [at for at in self._seen.get(name, ()) if now - at < self._window_s]
                if len(recent) >= self._most(name):
                    wait = int(self._window_s - (now - recent[0])) + 1
                    raise Problem(
                        429, "too_many_requests", "Too many failed logins", headers={"Retry-After": str(wait)}
                    )

    def failed(self, *names: str) -> None:
        """Count a failure."""
        now = time.monotonic()
        with self._lock:
            if len(self._seen) > 10_000:
                self._seen.clear()
            for name in names:
                recent = [at for at in self._seen.get(name, ()) if now - at < self._window_s]
                self._seen[name] = [*recent, now][-self._most(name) :]

    def _most(self, name: str) -> int:
        return self._failures_per_address if name.startswith(ADDRESS) else self._failures


def principal_of(user: UserRow) -> Principal:
    """Return a stored user as whoever asks."""
    return Principal("user", user.id, user.username, user.role, user.created_at, user.updated_at)


def _by_cookie(provider: OidcProvider, headers: Mapping[str, str]) -> Principal:
    """Return who is logged in at the provider.

    A cookie goes along whoever made the browser ask, and the contract has a GET that changes
    something: what another site asks for is asked by nobody.
    """
    if headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return NOBODY
    found = provider.identify(parse_cookie(headers.get("Cookie", "")))
    return Principal("oidc", found.username, found.username, "admin") if found else NOBODY


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
