"""How long whoever guesses passwords and tokens has to wait. Pure.

Gateways count in memory, schedulers in the database for all gateways; both by this rule. Failures count per client
address, and per username and address together; never per username alone, so that nobody can keep a user out from
another address.
"""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Literal

__all__ = ["Failures", "Guesser", "GuesserKind", "by_address", "by_login", "counted"]

GuesserKind = Literal["login", "address"]
_FREE = {"login": 10, "address": 100}
"""Fewer failures than these cost no wait. Many users can share an address, so more are free for it."""
_FORGIVEN_S = {"login": 900, "address": 6}
"""One failure is forgiven in this time."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 15.0, 900.0


@dataclass(frozen=True, slots=True)
class Guesser:
    """Somebody whose failures are counted together."""

    kind: GuesserKind
    key: str

    @property
    def digest(self) -> str:
        """The key as it is stored: people type passwords into the field for the username."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).hexdigest()


def by_login(username: str, address: str) -> Guesser:
    """Return the guesser of one user's password at one address."""
    return Guesser("login", f"login {_network(address)} {username[:200]}")


def by_address(address: str) -> Guesser:
    """Return the guesser of anything at one address."""
    return Guesser("address", f"address {_network(address)}")


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures of a guesser. Times are in seconds of the caller's clock."""

    level: float
    """The failures that are not forgiven, at the time ``at``."""
    at: float
    wait_until: float


def counted(kind: GuesserKind, known: Failures | None, count: int, now: float) -> Failures:
    """Return the failures after ``count`` further ones. Above the free ones, each doubles the wait."""
    before = 0.0 if known is None else max(0.0, known.level - max(0.0, now - known.at) / _FORGIVEN_S[kind])
    level = before + count
    excess = level - _FREE[kind]
    # A little is forgiven between two failures, so the one that costs the first wait may be just below 0.
    wait = min(_FIRST_WAIT_S * 2 ** min(ceil(excess), 10), _LONGEST_WAIT_S) if excess > -1 else 0
    return Failures(level, now, max(now + wait, 0.0 if known is None else known.wait_until))


def _network(address: str) -> str:
    """Return what is counted as one address: a client with IPv6 usually has a network of 2**64 of them."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
