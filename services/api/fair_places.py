"""Shares the places of a limit between workspaces, for event streams and for requests that wait for a run.

A workspace gets one more place only while it holds fewer than are free. So one workspace gets half of the places, two
get a third each, and so on: some are always left for another. Source of the rule: Choudhury and Hahne, "Dynamic queue
length thresholds for shared-memory packet switches", 1998. A server without workspaces gives all its places away.
"""

import threading
from collections import Counter
from collections.abc import Callable

from shared.workspaces import DEFAULT

__all__ = ["FairPlaces"]


class FairPlaces:
    """``limit`` places. ``shared`` returns whether there are other workspaces than the default one. Thread-safe."""

    def __init__(self, limit: int, shared: Callable[[], bool] = lambda: False) -> None:
        self._limit = limit
        self._shared = shared
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, workspace: str = DEFAULT) -> bool:
        """Take a place for a request of a workspace. Return whether there was one for it; never waits."""
        shared = self._shared()
        with self._lock:
            free = self._limit - self._taken.total()
            if free <= 0 or (shared and self._taken[workspace] >= free):
                return False
            self._taken[workspace] += 1
            return True

    def give_back(self, workspace: str = DEFAULT) -> None:
        """Give back a place that ``take`` gave to this workspace."""
        with self._lock:
            self._taken[workspace] -= 1
            if not self._taken[workspace]:
                del self._taken[workspace]
