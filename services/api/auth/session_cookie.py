"""The cookie that holds the login token of a web page's session. No script can read it, ours included.

Its name says what the browser guarantees. Under TLS it begins with ``__Host-``: no other host of the domain can have
set it, and no answer without TLS. ``__Host-`` allows no base path; below one, ``__Secure-`` proves TLS at least.
Cookies do not differ by port, so a port is part of the name: two gateways on one machine do not end each other's
sessions.
"""

from collections.abc import Mapping
from datetime import datetime

from werkzeug.datastructures import Headers
from werkzeug.http import dump_cookie, parse_cookie

__all__ = ["SessionCookie", "cookies_of"]

_NAME = "dagway-session"


def cookies_of(headers: Mapping[str, str] | Headers) -> Mapping[str, str]:
    """Return the cookies of a request.

    Another server of this host or domain may have set some that are not UTF-8. Ours are ASCII.
    """
    sent = headers.get("Cookie", "")
    return parse_cookie(sent if sent.isascii() else sent.encode("ascii", "replace").decode()) if sent else {}


class SessionCookie:
    """The session cookie of one request: where it is read, set and removed."""

    def __init__(self, headers: Mapping[str, str], *, secure: bool, base_path: str) -> None:
        self._headers = headers
        self._secure = secure
        self._path = base_path or "/"
        prefix = "" if not secure else "__Secure-" if base_path else "__Host-"
        port = headers.get("Host", "").rpartition("]")[2].partition(":")[2]
        self.name = f"{prefix}{_NAME}{f'-{port}' if port.isascii() and port.isdigit() else ''}"

    @property
    def token(self) -> str:
        """The login token in the request's cookie; empty if there is none."""
        return cookies_of(self._headers).get(self.name, "")

    def set(self, token: str, *, now: datetime, ends: datetime) -> dict[str, str]:
        """Return the header that makes the browser keep the token until it expires."""
        return {"Set-Cookie": self._dump(token, max(1, int((ends - now).total_seconds())))}

    def remove(self) -> dict[str, str]:
        """Return the header that makes the browser forget the token."""
        return {"Set-Cookie": self._dump("", 0)}

    def _dump(self, token: str, lives_s: int) -> str:
        return dump_cookie(
            self.name,
            token,
            max_age=lives_s,
            path=self._path,
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )
