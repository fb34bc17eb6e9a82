"""The caches of workspaces other than the default one, and whether there are any."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from services.api.caches.run_totals import RunTotals
from services.api.caches.single_flight import SingleFlight
from shared.errors import StoreUnavailable
from shared.store.reads.workspaces import WorkspaceReads

__all__ = ["CachesOfWorkspaces", "HasWorkspaces", "WorkspaceCaches"]

_MOST = 100
_FRESH_S = 10.0


@dataclass(frozen=True, slots=True)
class WorkspaceCaches:
    """The caches of one workspace."""

    totals: RunTotals
    single_flight: SingleFlight


class CachesOfWorkspaces:
    """The caches of the ``most`` workspaces that were used last. Thread-safe."""

    def __init__(self, max_dags: int = 1000, most: int = _MOST) -> None:
        self._max_dags = max_dags
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, WorkspaceCaches] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, workspace: str) -> WorkspaceCaches:
        """Return the caches of a workspace. The caller has checked that it exists."""
        with self._lock:
            found = self._kept.get(workspace)
            if found is None:
                found = self._kept[workspace] = self.unshared()
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(workspace)
            return found

    def unshared(self) -> WorkspaceCaches:
        """Return new caches that are not kept."""
        return WorkspaceCaches(RunTotals(max_dags=self._max_dags), SingleFlight())


class HasWorkspaces:
    """Whether the server has other workspaces than the default one; the answer is at most 10 s old."""

    def __init__(self, reads: WorkspaceReads, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._reads = reads
        self._clock_s = clock_s
        self._asked_at = float("-inf")
        self._found = False

    def __call__(self) -> bool:
        if self._clock_s() - self._asked_at > _FRESH_S:
            self._asked_at = self._clock_s()
            with suppress(StoreUnavailable):
                self._found = bool(self._reads.workspaces())
        return self._found
