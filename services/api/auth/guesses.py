"""Slows down whoever guesses passwords and tokens, without a way to keep others out.

Failures count per client address, and per username and address together; never per username alone, so that nobody can
keep a user out from another address. Everything is in memory: each gateway counts for itself, and a restart forgets.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from services.api.problems import Problem

__all__ = ["Guesser", "Guesses", "by_address", "by_login"]

_FIRST_WAIT_S, _LONGEST_WAIT_S = 15.0, 900.0
_MOST_GUESSERS = 10_000


@dataclass(frozen=True, slots=True)
class Guesser:
    """Somebody whose failures are counted together.

    Fewer than ``free`` failures cost no wait. One of them is forgiven every ``forgiven_s`` seconds.
    """

    key: str
    free: int
    forgiven_s: float


def by_login(username: str, address: str) -> Guesser:
    """Return the guesser of one user's password at one address."""
    return Guesser(f"login {_network(address)} {username[:200]}", 10, 900)


def by_address(address: str) -> Guesser:
    """Return the guesser of anything at one address. Many users can share the address, so more failures are free."""
    return Guesser(f"address {_network(address)}", 100, 6)


@dataclass(slots=True)
class _Failures:
    level: float
    """The failures that are not forgiven, at the time ``at``."""
    at: float
    wait_until: float


class Guesses:
    """Counts failures. A guesser with too many has to wait, twice as long after each further failure."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, *guessers: Guesser) -> None:
        """Raise a 429 if one of these guessers has to wait."""
        now = self._clock()
        with self._lock:
            known = [self._failures[each.key] for each in guessers if each.key in self._failures]
        wait = max((each.wait_until - now for each in known), default=0)
        if wait > 0:
            seconds = int(wait) + 1
            raise Problem(
                429,
                "too_many_requests",
                f"Too many failed logins from this address; try again in {seconds} s",
                headers={"Retry-After": str(seconds)},
            )

    def failed(self, *guessers: Guesser) -> None:
        """Count a failure for each of these guessers."""
        now = self._clock()
        with self._lock:
            for guesser in guessers:
                known = self._failures.pop(guesser.key, _Failures(0, now, now))
                level = max(0, known.level - (now - known.at) / guesser.forgiven_s) + 1
                excess = level - guesser.free
                # A little is forgiven between two failures, so the one that costs the first wait may be just below 0.
                wait = min(_FIRST_WAIT_S * 2 ** min(ceil(excess), 10), _LONGEST_WAIT_S) if excess > -1 else 0
                self._failures[guesser.key] = _Failures(level, now, now + wait)
            while len(self._failures) > _MOST_GUESSERS:
                self._failures.popitem(last=False)

    def succeeded(self, guesser: Guesser) -> None:
        """Forget the failures of a guesser who had only mistyped."""
        with self._lock:
            self._failures.pop(guesser.key, None)


def _network(address: str) -> str:
    """Return what is counted as one address: a client with IPv6 usually has a network of 2**64 of them."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
