"""Authentication and authorisation of requests (as in Dagu's REST API v2).

Credentials are tried in this order: login token, API key, static token (DAGWAY_AUTH_TOKEN), Basic, the session cookie
of the web page, the cookie of an OpenID Connect login; then anonymous, if no authentication is required. A wrong Bearer
token is ignored and the next method is tried. Wrong Basic credentials are refused immediately, if Basic is enabled.
In a request by our web page the session cookie comes before Basic.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from services.api.auth.guesses import Guesses
from services.api.auth.last_uses import LastUses
from services.api.auth.login_tokens import LoginTokens
from services.api.auth.principals import ANYBODY, NOBODY, Permission, Principal, Role
from services.api.auth.session_cookie import cookies_of
from services.api.auth.shared_failures import SharedFailures
from services.api.auth.tokens import HOOK_PREFIX, KEY_PREFIX, ImportedSecrets, Passwords, secret_hash
from services.api.problems import SETTING, Problem, not_found
from services.api.representations.json_values import precise
from services.api.requests.workspace_names import no_access
from services.api.settings import Oidc, Settings
from shared.contracts.dag_scope import DagScope
from shared.login_failures import Guesser, by_address, by_login
from shared.roles import outranks
from shared.store.reads.reader import Reads, UserRow
from shared.workspaces import DEFAULT, role_there, valid_workspace, workspace_of

if TYPE_CHECKING:
    from services.api.auth.oidc import OidcProvider
    from services.api.command_client import Commands

__all__ = ["Auth", "forbidden", "principal_of", "unauthorized"]


def unauthorized(message: str, settings: Settings | None = None) -> Problem:
    """Return a 401; with the header WWW-Authenticate if ``settings`` is given."""
    headers = {}
    if settings is not None:
        scheme = "Basic" if settings.basic else "Bearer"
        headers["WWW-Authenticate"] = f'{scheme} realm="restricted"'
    return Problem(401, "unauthorized", message, headers=headers)


def forbidden(message: str, *, setting: str = "") -> Problem:
    """Return a 403. ``setting``: the setting of this server that causes it, whoever asks."""
    return Problem(403, "forbidden", message, details={SETTING: setting} if setting else None)


class Auth:
    """Authenticates and authorises requests. Keeps only caches, failures, and when each key was last used."""

    def __init__(self, settings: Settings, reads: Reads, commands: "Commands", clock: Callable[[], datetime]) -> None:
        self.settings = settings
        self.passwords = Passwords()
        self.imported = ImportedSecrets(self.passwords)
        self.logins = LoginTokens(_signing_keys(settings), timedelta(seconds=settings.token_ttl_s))
        self.guesses = Guesses(SharedFailures(reads, commands, clock))
        self.oidc = _oidc_provider(settings.oidc) if settings.oidc else None
        self.last_uses = LastUses(commands, clock)
        self._reads = reads
        self._clock = clock

    # -- a request ----------------------------------------------------------------------------

    def admit(
        self,
        role: Role,
        permission: Permission | None,
        headers: Mapping[str, str],
        address: str,
        *,
        session: str = "",
        workspace: str = DEFAULT,
        any_role: bool = False,
        optional: bool = False,
        note: Callable[[Principal], None] = lambda _principal: None,
    ) -> Principal:
        """Return the principal of a request from a client address. ``session``: the token in its session cookie.

        Its role is that in ``workspace``. ``any_role``: it needs none there, for what concerns only itself.

        ``optional``: return the principal of a public operation too, or ``NOBODY`` if there is none.

        ``note`` is called with the principal, even if it is refused then. Raises a 401 or 403 if it lacks ``role`` or
        ``permission``, a 429 if the client has to wait after wrong ones.
        """
        if role == "public" and not optional:
            return NOBODY
        by_page = headers.get("X-Requested-With") == "XMLHttpRequest"
        principal = self._by_credentials(headers, address, session, by_page=by_page)
        if role == "public":
            return principal
        if not principal.known and self.oidc is not None:
            principal = _by_cookie(self.oidc, headers)
        if not principal.known and self.settings.auth_required:
            message = "This request has no valid credentials: log in, or send a token or API key"
            if self._has_ended(headers.get("Authorization", ""), session):
                message = "This login has ended: log in again"
            # The browser would ask for a password itself, although the page has a form for it.
            raise unauthorized(message, None if by_page else self.settings)
        if not principal.known:
            principal = ANYBODY
        note(principal)
        if principal.expires_at is not None and principal.expires_at <= self._clock():
            expired = precise(principal.expires_at)
            raise unauthorized(f"The API key {principal.username} has expired: {expired}", self.settings)
        self._refuse_for_all(permission)
        if any_role:
            return principal
        principal = self._there(principal, workspace)
        if self.settings.has_roles and not outranks(principal.role, role):
            raise forbidden(f"This request requires the role {role}; {principal.username} has {principal.role}")
        return principal

    def _by_credentials(self, headers: Mapping[str, str], address: str, session: str, *, by_page: bool) -> Principal:
        authorization = headers.get("Authorization", "")
        principal = NOBODY
        if by_page and authorization[:6].lower() == "basic ":
            # The page sends none: the browser has added a password that it remembers, perhaps an old one.
            principal = self._by_session(session)
        if not principal.known:
            principal = self.identify(authorization, address)
        return principal if principal.known else self._by_session(session)

    def _refuse_for_all(self, permission: Permission | None) -> None:
        """Raise a 403 if the settings of this server deny a permission, whoever asks."""
        if permission == "write_dags" and not self.settings.write_dags:
            name = "DAGWAY_PERMISSIONS_WRITE_DAGS"
            raise forbidden(f"This server does not allow changes of DAGs ({name})", setting=name)
        if permission == "run_dags" and not self.settings.run_dags:
            name = "DAGWAY_PERMISSIONS_RUN_DAGS"
            raise forbidden(f"This server does not allow runs to be started or changed ({name})", setting=name)

    def _there(self, principal: Principal, workspace: str) -> Principal:
        """Return a principal with its role in a workspace. Raises a 403 if it has none there."""
        if workspace == principal.home:
            return principal
        member, can_exist = "", workspace == DEFAULT or valid_workspace(workspace)
        stored = principal.kind == "user"
        if principal.role != "admin" and can_exist:
            given = principal.members.get(workspace, "")
            member = self._reads.member_role(workspace, principal.id) if stored else given
        role = role_there(workspace, principal.role, home=principal.home, member=member)
        if not role:
            raise no_access(principal.by, workspace)
        # A stored membership ends with its workspace. Settings may give a group a role in one that does not exist.
        if not (member and stored) and (not can_exist or self._reads.workspace(workspace) is None):
            raise not_found(f"There is no workspace {workspace[:40]!r}")
        return replace(principal, role=role)

    def identify(self, header: str, address: str) -> Principal:
        """Return the principal of an Authorization header. Raises a 401 for wrong Basic credentials, or a 429."""
        scheme, _, value = header.partition(" ")
        scheme, value = scheme.lower(), value.strip()
        if scheme == "bearer" and value:
            found = self._by_bearer(value, address)
            if found is not None:
                return found
        if scheme == "basic" and self.settings.basic:
            return self._by_basic(value, address)
        return NOBODY

    def _has_ended(self, authorization: str, session: str) -> bool:
        """Return whether a refused request has a login token that was valid once."""
        scheme, _, value = authorization.partition(" ")
        token = value.strip() if scheme.lower() == "bearer" else session
        return self.settings.builtin and bool(token) and self.logins.signed(token)

    def _by_session(self, token: str) -> Principal:
        """Return the principal of a session cookie; ``NOBODY`` if the session is none or has ended.

        Without users in the database, a session belongs to who knew the password or static token of the settings. Its
        key is derived from these, so it ends when they change.
        """
        if not token or not self.settings.has_sessions:
            return NOBODY
        if self.settings.builtin:
            found = self._by_login(token)
            return NOBODY if found is None else replace(found, by_session=True)
        read = self.logins.read(token, self._clock())
        if read is None or self._reads.login_ended(read.id):
            return NOBODY
        kind: Literal["basic", "token"] = "basic" if read.user_id == "basic" else "token"
        return Principal(kind, read.username, read.username, "admin", by_session=True)

    def _by_bearer(self, value: str, address: str) -> Principal | None:
        settings = self.settings
        if settings.builtin:
            if value.startswith(KEY_PREFIX) and not value.startswith(HOOK_PREFIX):
                found = self._by_key(value, address)
            else:
                found = self._by_login(value)
            if found is not None:
                return found
        # A login that has ended is not a guess, nor is what Dagu's front end sends without a login.
        if value == "null" or (settings.builtin and self.logins.signed(value)):
            return None
        return self._by_static_token(value, address)

    def _by_static_token(self, value: str, address: str) -> Principal | None:
        if not self.settings.token:
            return None
        self.guesses.check(by_address(address))
        if _same(value, self.settings.token):
            return Principal("token", "api-token", "api-token", "admin")
        self.guesses.failed(by_address(address))
        return None

    def _by_login(self, value: str) -> Principal | None:
        token = self.logins.read(value, self._clock())
        if token is None:
            return None
        # Read at each request, so that a new password or role, a deletion and a logout take effect immediately.
        user = self._reads.logged_in(token.user_id, token.version, token.id)
        return None if user is None else principal_of(user)

    def _by_key(self, value: str, address: str) -> Principal | None:
        key = self._reads.api_key_by_hash(secret_hash(value))
        if key is None:
            same_start = self._reads.imported_api_keys(value)
            key = next((each for each in same_start if self.fits_imported(each.secret_hash, value, address)), None)
        if key is None:
            return None
        if key.expires_at is None or key.expires_at > self._clock():
            self.last_uses.note("api_key", key.id, key.last_used_at)
        dags = DagScope.parse(key.dags)
        return Principal(
            "api_key",
            f"apikey:{key.id}",
            f"apikey:{key.name}",
            key.role,
            expires_at=key.expires_at,
            dags=dags,
            home=workspace_of(key.name),
        )

    def _by_basic(self, value: str, address: str) -> Principal:
        try:
            username, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            username = password = ""
        found = self._by_password(username, password, address)
        if found is None:
            raise unauthorized("Wrong username or password", self.settings)
        return found

    def _by_password(self, username: str, password: str, address: str) -> Principal | None:
        settings = self.settings
        guessers = by_login(username, address), by_address(address)
        self.guesses.check(*guessers)
        if _same(username, settings.basic_username) & _same(password, settings.basic_password):
            self.guesses.succeeded(guessers[0])
            return Principal("basic", username, username, "admin")
        self.guesses.failed(*guessers)
        return None

    def of_settings(self, *, username: str, password: str, token: str, address: str) -> Principal:
        """Return who knows the static token, or the Basic name and password, of the settings; else ``NOBODY``.

        Raises a 429 after too many wrong ones.
        """
        if token:
            return self._by_static_token(token, address) or NOBODY
        return (self._by_password(username, password, address) if self.settings.basic else None) or NOBODY

    def fits_imported(self, stored: str, secret: str, address: str) -> bool:
        """Return whether an imported API key or webhook token fits. Raises as ``password_fits`` does."""
        if self.imported.known(stored, secret):
            return True
        self.guesses.check(by_address(address))
        return self._verified(lambda: self.imported.fits(stored, secret), by_address(address))

    def password_fits(self, stored: str | None, password: str, *guessers: Guesser) -> bool:
        """Return whether a password has this hash; if not, count a failure of its guessers.

        Raises a 429 after too many failures, and a 503 if too many passwords wait to be verified.
        """
        return self._verified(lambda: self.passwords.fits(stored, password), *guessers)

    def _verified(self, fits: Callable[[], bool], *guessers: Guesser) -> bool:
        with self.passwords.turn():
            # Of guesses that were sent together, those that failed count before the next one is verified.
            self.guesses.check(*guessers)
            if fits():
                return True
            self.guesses.failed(*guessers)
            return False

    # -- logins -------------------------------------------------------------------------------

    def issue(self, user: UserRow) -> tuple[str, datetime]:
        """Return a login token for a user, and when the token expires."""
        return self.logins.issue(
            self._clock(), user_id=user.id, username=user.username, role=user.role, version=user.token_version
        )

    def issue_for_settings(self, principal: Principal) -> tuple[str, datetime]:
        """Return a login token for who knows the password or static token of the settings, and when it expires."""
        return self.logins.issue(
            self._clock(), user_id=principal.kind, username=principal.username, role=principal.role
        )


def principal_of(user: UserRow) -> Principal:
    """Return the principal of a stored user."""
    return Principal("user", user.id, user.username, user.role, user.created_at, user.updated_at)


def _signing_keys(settings: Settings) -> tuple[str, ...]:
    """Return the keys of login tokens. Without users they come from the password and static token of the settings."""
    if settings.has_roles or not settings.auth_required:
        return settings.token_secret, *settings.other_token_secrets
    known = f"{settings.basic_username}\0{settings.basic_password}\0{settings.token}"
    return (hmac.digest(known.encode("utf-8", "surrogatepass"), b"dagway sessions", "sha256").hex(),)


def _oidc_provider(settings: Oidc) -> "OidcProvider":
    # Imported here, because its HTTP client and the reader of its tokens take a tenth of the start of a gateway.
    from services.api.auth.oidc import OidcProvider  # noqa: PLC0415

    return OidcProvider(settings)


def _by_cookie(provider: "OidcProvider", headers: Mapping[str, str]) -> Principal:
    """Return the principal of the OpenID Connect login in the request's cookie.

    A browser also sends the cookie with requests from pages of other sites, and Dagu's API has a GET that changes
    state (dequeue). So requests from other sites are anonymous.
    """
    if headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return NOBODY
    found = provider.identify(cookies_of(headers))
    return NOBODY if found is None else found.principal


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
