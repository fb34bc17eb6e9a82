"""Keeps the pages of other sites from using this gateway through a visitor's browser (CSRF, DNS rebinding).

A browser sends requests for any page, also into private networks, and adds its user's cookies and passwords. So a
request with only these, or without credentials, must come from a page of this gateway or from a program that is no
browser. A Bearer token or API key is proof enough: a page of another site does not know it. The session cookie is for
browsers only: a change by it must say that a page of this gateway sent it.

The functions are pure: they get the facts of a request and return why it is refused, or an empty text.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

__all__ = ["BrowserRules", "RequestFacts", "is_loopback", "why_host_refused", "why_origin_refused", "why_type_refused"]

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(?::(?P<port>\d{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_JSON = "application/json"
_BROWSERS = "Mozilla/"
"""How the ``User-Agent`` of every browser that runs scripts begins, and that of hardly any program."""


@dataclass(frozen=True, slots=True)
class BrowserRules:
    """Which names and pages are this gateway's own, besides loopback and IP addresses."""

    hosts: frozenset[str] = frozenset()
    """Names in lower case, without a port."""
    origins: frozenset[str] = frozenset()
    """Origins of pages elsewhere that may use the browser's credentials: ``https://dashboard.example.org``."""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """The headers of a request that tell where it comes from. A header that is absent is an empty text."""

    host: str = ""
    origin: str = ""
    site: str = ""
    """``Sec-Fetch-Site``. Pages cannot set it."""
    user_agent: str = ""
    content_type: str = ""
    has_body: bool = False

    @property
    def from_browser(self) -> bool:
        """Whether a browser may have sent the request. A page can leave out none of these without a CORS preflight."""
        return bool(self.origin or self.site) or self.user_agent.startswith(_BROWSERS)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on ``host``, or the name means this machine."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def why_host_refused(facts: RequestFacts, rules: BrowserRules) -> str:
    """Return why the ``Host`` header is refused: DNS rebinding gives a page's own name this machine's address.

    Browsers always send the header. An IP address is never refused: where no name is resolved, none can be rebound.
    """
    if not facts.host:
        return ""
    found = _HOST.fullmatch(facts.host)
    if found is not None:
        name = found["name"].rstrip(".").lower()
        if name in rules.hosts or _cannot_be_rebound(name):
            return ""
    return (
        f"This server is not known under the name {facts.host[:100]!r}: add it to DAGWAY_ALLOWED_HOSTS, or send a "
        "Bearer token or API key"
    )


def why_origin_refused(facts: RequestFacts, rules: BrowserRules, *, must_tell: bool = False) -> str:
    """Return why the page that sent the request is refused. Programs send neither header and are not refused.

    ``must_tell``: refuse a request with neither. Browsers send ``Origin`` with every method but GET and HEAD, and
    ``Sec-Fetch-Site`` where they trust the connection (TLS or loopback). So without TLS an image of another port of
    this host could send a GET that changes state, and the cookie with it.
    """
    if facts.origin in rules.origins or facts.site == "same-origin":
        return ""
    if must_tell and not facts.origin and not facts.site:
        return (
            "A change by the session cookie needs the header Origin or Sec-Fetch-Site, which browsers send; programs "
            "use a Bearer token or API key"
        )
    if facts.site in {"cross-site", "same-site"} or (facts.origin and not _same_server(facts)):
        return (
            f"Requests from pages of other origins ({(facts.origin or facts.site)[:100]}) need a Bearer token or API "
            "key, or the origin in DAGWAY_ALLOWED_ORIGINS"
        )
    return ""


def why_type_refused(facts: RequestFacts) -> str:
    """Return why a body that is not JSON is refused: a browser sends it to other sites without a CORS preflight.

    Programs are not refused: ``curl -d`` says that it sends a form, and Dagu takes its body as JSON.
    """
    kind = facts.content_type.partition(";")[0].strip().lower()
    if not facts.has_body or kind == _JSON or not facts.from_browser:
        return ""
    return f"The body must be JSON and say so: send the header Content-Type: {_JSON}"


def _same_server(facts: RequestFacts) -> bool:
    """Compare host and port only: behind a proxy that ends TLS, the page's scheme is https and ours is http."""
    try:
        parts = urlsplit(facts.origin)
    except ValueError:
        return False
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None or not parts.netloc:
        return False
    own, page = _HOST.fullmatch(facts.host), _HOST.fullmatch(parts.netloc)
    if own is None or page is None:
        return False
    return (own["name"].lower(), own["port"] or default) == (page["name"].lower(), page["port"] or default)


@lru_cache(maxsize=64)
def _cannot_be_rebound(name: str) -> bool:
    """Return whether a name means this machine, or is an address. Kept: clients use the same few names."""
    if is_loopback(name):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
