"""Follow the redirects of an HTTP request as Dagu does.

The client library would send a POST again after 301 and 302, keep no cookies and ignore a login in a URL.
"""

from base64 import b64encode
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import unquote, urljoin
from urllib.request import Request

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry
from urllib3.util.url import parse_url

__all__ = ["follow", "without_login"]

_MAX_REDIRECTS = 10
_SAME_AGAIN = frozenset({307, 308})
"""After these the same request is made. After 301, 302 and 303 its answer is fetched: by GET, without a body."""
_FOR_ONE_HOST = frozenset({"authorization", "proxy-authorization", "cookie"})


def follow(
    pool: urllib3.PoolManager, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, retries: Retry
) -> urllib3.BaseHTTPResponse:
    """Make a request and those to which it is redirected; return the last response, whose body is not read.

    Cookies of earlier responses are sent. ``headers`` with credentials do not go to another host.
    """
    cookies = CookieJar()
    for _ in range(_MAX_REDIRECTS + 1):
        asked = Request(url)  # noqa: S310 - nothing opens it: it tells the cookies where they go
        cookies.add_cookie_header(asked)
        sent = dict(headers)
        if kept := asked.get_header("Cookie"):
            sent["Cookie"] = "; ".join(filter(None, (headers.get("Cookie"), kept)))
        # As bytes: the library would refuse what is not Latin-1.
        encoded: Any = {name: value.encode() for name, value in sent.items()}
        response: Any = pool.request(
            method, url, body=body, headers=encoded, retries=retries, redirect=False, preload_content=False
        )
        location = response.get_redirect_location()
        if not location:
            return response  # type: ignore[no-any-return]
        cookies.extract_cookies(response, asked)
        # Its body may be endless, so the connection is not used again.
        response.close()
        if response.status not in _SAME_AGAIN:
            method, body = "HEAD" if method == "HEAD" else "GET", None
        target, login = without_login(urljoin(url, location))
        if _host(target) != _host(url):
            headers = {name: value for name, value in headers.items() if name.lower() not in _FOR_ONE_HOST}
        if login:
            headers = {**headers, "Authorization": login}
        url = target
    raise HTTPError(f"there were more than {_MAX_REDIRECTS} redirects")


def without_login(url: str) -> tuple[str, str]:
    """Take ``user:password@`` out of a URL. Return the URL, and the header ``Authorization`` for it, else ``""``."""
    parts = parse_url(url)
    if parts.auth is None:
        return url, ""
    user, _, password = parts.auth.partition(":")
    login = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return parts._replace(auth=None).url, f"Basic {login}"


def _host(url: str) -> tuple[str | None, str | None, int | None]:
    parts = parse_url(url)
    return parts.scheme, parts.host, parts.port or {"http": 80, "https": 443}.get(parts.scheme or "")
