"""Login at an OpenID Connect provider: the redirect to it, the callback, and logout.

A login in progress (state, nonce, verifier, requested page) is kept in cookies that expire after two minutes, so any
gateway can serve the callback.
"""

import hmac
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Flask, Response, redirect, request

from services.api.audit.trail import actor_of
from services.api.auth.authentication import unauthorized
from services.api.auth.oidc import PROOF_COOKIE, TOKEN_COOKIE, OidcIdentity, OidcProvider, new_verifier
from services.api.auth.principals import NOBODY, Principal
from services.api.auth.session_cookie import cookies_of
from services.api.problems import INTERNAL, Problem, bad_request
from services.api.requests.client_address import address_of, sent_by_tls
from shared.contracts.audit import AuditEntry, AuditTarget
from shared.log import current

if TYPE_CHECKING:
    from services.api.deps import Deps

__all__ = ["serve_login"]

_CALLBACK, _LOGOUT = "/oidc-callback", "/oidc-logout"
_STATE, _NONCE, _VERIFIER, _WANTED = "state", "nonce", "verifier", "originalURL"
_HELPERS = (_STATE, _NONCE, _VERIFIER, _WANTED)
_HELPERS_LIVE_S = 120
_MAX_COOKIE_CHARS = 4000
"""Browsers silently drop larger cookies."""
_NOT_PAGES = ("/api/", "/assets/", "/web/", "/healthz", "/readyz", _CALLBACK, _LOGOUT)
_LOCAL = re.compile(r"/(?![/\\])[\x21-\x7e]*")
"""A path on this server. ``//host`` and ``/\\host``, which browsers treat alike, would lead to another server."""


def serve_login(app: Flask, deps: "Deps", provider: OidcProvider) -> None:
    """Redirect requests for pages to the provider if nobody is logged in; serve the callback and the logout."""
    login = _Login(provider, deps)
    app.before_request(login.demand)
    for path, view in ((_CALLBACK, login.callback), (_LOGOUT, login.logout)):
        app.add_url_rule(path, f"oidc {path[1:]}", view)


class _Login:
    """The requests of a login. They are no operations of the API, so they write to the audit log themselves."""

    def __init__(self, provider: OidcProvider, deps: "Deps") -> None:
        self._provider = provider
        self._base = deps.base_path
        self._proxies = deps.settings.trusted_proxies
        self._audit = deps.audit

    def demand(self) -> Response | None:
        """Return a redirect to the provider if this request is for a page and nobody is logged in."""
        if request.method not in {"GET", "HEAD"} or request.path.startswith(_NOT_PAGES) or request.path == "/api":
            return None
        if self._provider.identify(cookies_of(request.headers)):
            return None
        if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
            # For example an icon: its redirect would overwrite the cookies of the login that the page has started.
            raise unauthorized("No user is logged in")
        return self._to_provider()

    def callback(self) -> Response:
        """End a login: the provider has sent the browser here."""
        try:
            response, identity = self._redeem()
        except Problem as problem:
            if problem.status < INTERNAL:
                self._note("oidcLogin", NOBODY, problem.code)
            raise
        self._note("oidcLogin", identity.principal)
        return response

    def logout(self) -> Response:
        """Forget the login here, and go to where the provider ends its own."""
        known = self._provider.identify(cookies_of(request.headers))
        if known is not None:
            self._note("oidcLogout", known.principal)
        elsewhere = self._provider.logout_url()
        response = _redirect(elsewhere) if elsewhere else Response("You are logged out.", mimetype="text/plain")
        return self._forget(response, TOKEN_COOKIE, PROOF_COOKIE)

    def _note(self, operation: str, principal: Principal, code: str = "") -> None:
        """Send the entry of a login or logout. ``code``: of the error, if refused."""
        address = address_of(request, self._proxies)
        self._audit.add(
            AuditEntry(
                actor=actor_of(principal, address=address, request_id=current("request_id") or ""),
                operation=operation,
                target=AuditTarget(kind="user", name=principal.username, id=principal.id),
                outcome="refused" if code else "done",
                code=code,
            )
        )

    def _to_provider(self) -> Response:
        state, nonce, verifier = new_verifier(), new_verifier(), new_verifier()
        response = _redirect(self._provider.login_url(state=state, nonce=nonce, verifier=verifier))
        query = request.query_string.decode("ascii", "replace")
        wanted = self._base + quote(request.path, safe="/%") + (f"?{query}" if query else "")
        for name, value in ((_STATE, state), (_NONCE, nonce), (_VERIFIER, verifier), (_WANTED, wanted[:2000])):
            self._set_cookie(response, name, value, _HELPERS_LIVE_S)
        return response

    def _redeem(self) -> tuple[Response, OidcIdentity]:
        cookies = cookies_of(request.headers)
        given, state = request.args.get("state", ""), cookies.get(_STATE, "")
        if not state or not hmac.compare_digest(given.encode("utf-8", "replace"), state.encode("utf-8", "replace")):
            raise bad_request(
                "This login has expired (after two minutes) or was started on another server; log in again"
            )
        if "error" in request.args:
            raise Problem(403, "forbidden", f"The login provider refused the login: {request.args['error'][:200]}")
        token, identity = self._provider.redeem(
            request.args.get("code", ""),
            nonce=cookies.get(_NONCE, ""),
            verifier=cookies.get(_VERIFIER, ""),
        )
        if len(token) > _MAX_COOKIE_CHARS:
            raise bad_request(
                "The provider's ID token is too large for a cookie; configure fewer claims at the provider"
            )
        wanted = cookies.get(_WANTED, "")
        response = _redirect(wanted if _LOCAL.fullmatch(wanted) else f"{self._base}/")
        lives_s = max(1, identity.expires_at - int(time.time()))
        self._set_cookie(response, TOKEN_COOKIE, token, lives_s)
        self._set_cookie(response, PROOF_COOKIE, self._provider.proof(token), lives_s)
        return self._forget(response, *_HELPERS), identity

    def _set_cookie(self, response: Response, name: str, value: str, lives_s: int) -> None:
        path, secure = self._base or "/", sent_by_tls(request)
        response.set_cookie(name, value, max_age=lives_s, path=path, httponly=True, samesite="Lax", secure=secure)

    def _forget(self, response: Response, *names: str) -> Response:
        for name in names:
            response.delete_cookie(name, path=self._base or "/", httponly=True, samesite="Lax")
        return response


def _redirect(url: str) -> Response:
    response = redirect(url, 302)
    assert isinstance(response, Response)  # noqa: S101 - Flask declares Werkzeug's type only
    return response
