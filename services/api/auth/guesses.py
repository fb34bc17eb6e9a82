"""Slows down whoever guesses passwords and tokens, without a way to keep others out: the rule of ``login_failures``.

This gateway's failures count at once, in memory. Those of all gateways are in the database (``SharedFailures``): they
count a second or two later, and survive restarts.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from services.api.auth.shared_failures import SharedFailures
from services.api.problems import Problem
from shared.login_failures import Failures, Guesser, counted

__all__ = ["Guesses"]

_MOST_GUESSERS = 10_000


class Guesses:
    """Counts failures. A guesser with too many has to wait, twice as long after each further failure."""

    def __init__(self, shared: SharedFailures | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._clock = clock
        self._failures: OrderedDict[Guesser, Failures] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, *guessers: Guesser) -> None:
        """Raise a 429 if one of these guessers has to wait."""
        now = self._clock()
        with self._lock:
            known = [self._failures[each] for each in guessers if each in self._failures]
        wait = max((each.wait_until - now for each in known), default=0)
        if wait <= 0 and self._shared is not None:
            wait = self._shared.wait_s(guessers)
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
                self._failures[guesser] = counted(guesser.kind, self._failures.pop(guesser, None), 1, now)
            while len(self._failures) > _MOST_GUESSERS:
                self._failures.popitem(last=False)
        if self._shared is not None:
            self._shared.failed(guessers)

    def succeeded(self, guesser: Guesser) -> None:
        """Forget the failures of a guesser who had only mistyped."""
        with self._lock:
            known = self._failures.pop(guesser, None)
        if self._shared is not None and (known is not None or self._shared.knows(guesser)):
            self._shared.succeeded(guesser)
