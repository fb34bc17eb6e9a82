"""A regular look at everything, however busy a loop is: finds what no notice announced, as when a scheduler died."""

import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

__all__ = ["RegularLook"]

T = TypeVar("T")

_EVERY_S = 20.0
_AT_ONCE = 20


class RegularLook(Generic[T]):
    """Hands out all that there is, 20 at a time, so that what is noted meanwhile does not wait for all of it.

    The first look is at the start, the next one 20 s after the last of it was handed out: if there was something, or
    once ``want`` is called. ``steady`` is a clock in seconds. Not thread-safe.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._at_s = steady()
        self._left: list[T] = []
        self._wanted = True

    def want(self) -> None:
        """Make the next look due at its usual time, even if the last one found nothing."""
        self._wanted = True

    @property
    def due(self) -> bool:
        """Whether ``next`` has something to look at."""
        return self.due_in_s == 0

    @property
    def due_in_s(self) -> float | None:
        """In how many seconds ``next`` has something to look at; 0 if it has, ``None`` if nobody knows of anything."""
        if not self._wanted:
            return None
        return 0.0 if self._left else max(0.0, self._at_s - self._steady())

    def next(self, everything: Callable[[], Iterable[T]]) -> list[T]:
        """Return what to look at now, if it is time. What ``everything`` raises is raised, and it stays due."""
        if not self.due:
            return []
        left = self._left or list(everything())
        self._wanted = bool(left)
        now, self._left = left[:_AT_ONCE], left[_AT_ONCE:]
        if not self._left:
            self._at_s = self._steady() + _EVERY_S
        return now
