"""Signs and verifies login tokens: JSON Web Tokens with HS256 (as in Dagu's REST API v2).

Several keys can be valid at once, so that a new key ends no login: the first key signs and all of them verify. The
header ``kid`` names the key. It is the beginning of the key's SHA-256, which helps a guesser no more than the signature
does. PyJWT is imported on first use, because a gateway without login tokens need not load it and its cryptography.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jwt.types import Options

__all__ = ["LoginToken", "LoginTokens"]

_ALGORITHM = "HS256"
_CLAIMS = ("exp", "uid")


@dataclass(frozen=True, slots=True)
class LoginToken:
    """What a valid signature proves about a login token. Whether the login has ended is in the database."""

    id: str
    user_id: str
    username: str
    version: int
    """The user's ``token_version`` at the login."""
    expires_at: datetime


class LoginTokens:
    """Makes and reads login tokens. The first of ``keys`` signs."""

    def __init__(self, keys: Sequence[str], lives: timedelta) -> None:
        self._keys = {_key_id(key): key for key in keys if key}
        self._lives = lives

    def issue(self, now: datetime, *, user_id: str, username: str, role: str, version: int = 0) -> tuple[str, datetime]:
        """Return a new login token of a user, and when the token expires."""
        ends = now + self._lives
        claims = {
            "sub": user_id,
            "uid": user_id,
            "username": username,
            "role": role,
            "ver": version,
            # Two logins within one second are two tokens.
            "jti": secrets.token_hex(16),
            "iat": int(now.timestamp()),
            "exp": int(ends.timestamp()),
        }
        key_id, key = next(iter(self._keys.items()))
        import jwt  # noqa: PLC0415 - see the module's docstring

        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": key_id}), ends

    def read(self, text: str, now: datetime) -> LoginToken | None:
        """Return a login token; ``None`` if the text is none, its signature is wrong, or the token has expired."""
        claims = self._claims(text)
        found = None if claims is None else _token(text, claims)
        return None if found is None or found.expires_at <= now else found

    def signed(self, text: str) -> bool:
        """Return whether the text is a login token with a valid signature, even if the token has expired."""
        return self._claims(text) is not None

    def _claims(self, text: str) -> dict[str, Any] | None:
        import jwt  # noqa: PLC0415 - see the module's docstring

        # PyJWT would compare with the host's clock. ``read`` checks the end; the beginning may be in the future.
        options: Options = {"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False}
        try:
            key = self._keys[jwt.get_unverified_header(text)["kid"]]
            claims: dict[str, Any] = jwt.decode(text, key, algorithms=[_ALGORITHM], options=options)
        except (jwt.InvalidTokenError, ValueError, KeyError):
            return None
        return claims


def _token(text: str, claims: dict[str, Any]) -> LoginToken | None:
    version = claims.get("ver", 0)
    try:
        expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    if not isinstance(version, int):
        return None
    return LoginToken(
        # The signed part only: the last character of a signature can be written in several ways.
        id=hashlib.sha256(text.rpartition(".")[0].encode()).hexdigest(),
        user_id=str(claims["uid"])[:36],
        username=str(claims.get("username", "")),
        version=version,
        expires_at=expires_at,
    )


def _key_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
