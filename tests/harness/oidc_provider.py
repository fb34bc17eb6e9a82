"""A small OpenID Connect provider on loopback: discovery, keys, the code flow with PKCE, userinfo.

It logs every user in without a form, with ``claims`` as the user's claims. It checks what a real provider
checks: client secret, code, redirect address and code verifier. ``token_claims`` makes ID tokens invalid.
"""

import base64
import hashlib
import json
import secrets
import time
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.harness.loopback import Loopback, QuietHandler

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "OidcProvider"]

CLIENT_ID, CLIENT_SECRET = "dagway:tests", "a secret / of the tests"


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


_first_key = cache(_new_key)
"""The key with which every provider of a test process begins: making one takes a tenth of a second."""


class OidcProvider(Loopback):
    """Runs between ``__enter__`` and ``__exit__``; ``issuer`` is its URL."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "u1", "preferred_username": "ann", "email": "ann@example.org"}
        self.token_claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.lives_s = 300
        self.fetches: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._key, self._kid = _first_key(), secrets.token_hex(4)
        super().__init__(self._handler())
        self.issuer = f"http://127.0.0.1:{self.port}"

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish only the new key."""
        self._key, self._kid = _new_key(), secrets.token_hex(4)

    def id_token(self, nonce: str = "", *, algorithm: str = "RS256", key: Any = None, **changes: Any) -> str:
        """Return a signed ID token with these claims; a claim that is ``None`` is left out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + self.lives_s, "nonce": nonce}
        claims |= self.claims | self.token_claims | changes
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self._key if key is None else key, algorithm, headers={"kid": self._kid})

    def stop(self) -> None:
        """Stop answering, before the end of the block."""
        self.__exit__(None, None, None)

    # -- what it answers ----------------------------------------------------------------------

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/bye",
        }

    def _keys(self) -> dict[str, Any]:
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": self._kid, "use": "sig", "alg": "RS256"}]}

    def _authorize(self, query: dict[str, str]) -> str:
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(8)
        self._codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def _token(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        asked = self._codes.pop(form.get("code", ""), None)
        known = [dict(parse_qsl(f"x={part}"))["x"] for part in pair] == [CLIENT_ID, CLIENT_SECRET]
        if asked is None or not known or form["redirect_uri"] != asked["redirect_uri"]:
            return None
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return None
        return {"id_token": self.id_token(asked["nonce"]), "access_token": "open sesame", "token_type": "Bearer"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                provider.fetches.append(url.path)
                if url.path == "/authorize":
                    query = {name: values[0] for name, values in parse_qs(url.query).items()}
                    self.send_response(302)
                    self.send_header("Location", provider._authorize(query))
                    self.end_headers()
                elif url.path == "/userinfo" and self.headers["Authorization"] == "Bearer open sesame":
                    self._answer({**provider.claims, **provider.userinfo})
                elif url.path == "/keys":
                    self._answer(provider._keys())
                elif url.path == "/.well-known/openid-configuration":
                    self._answer(provider._discovery())
                else:
                    self._answer(None)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer(provider._token(dict(parse_qsl(body)), self.headers["Authorization"]))

            def _answer(self, content: dict[str, Any] | None) -> None:
                data = json.dumps(content or {"error": "invalid_grant"}).encode()
                self.send_response(200 if content else 400)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler
