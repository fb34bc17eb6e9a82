"""A cache of runs as this process last committed them, so that the next decision about a run need not read it.

A decision on a cached run counts only if the run's row still has the same version; every decision of any scheduler
increments the version. Two columns change without a new version: the dispatch time of a task that the sweep sends, for
which the time of its decision is as good (``delaySec``), and the file name of a queued run, so ``newest`` returns
running runs only.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from services.scheduler.core.model import Run
from services.scheduler.core.plan import Plan
from services.scheduler.core.tally import tally_of
from shared.status import RunStatus

__all__ = ["RecentRun", "RecentRuns"]

_MOST_NODES = 20_000
_CHARS_OF_A_NODE = 1_000
"""As many characters of a run's params count like a node. A request may bring a megabyte, a run of one step."""
_MOST_OUTPUT_CHARS = 65_536
"""A run with more output than this is not cached, to save memory."""


@dataclass(frozen=True, slots=True)
class RecentRun:
    """A run as it was committed. ``fixed`` are its columns that never change; see ``LoadedRun``."""

    run: Run
    fixed: Mapping[str, Any]


def _weight(run: Run) -> int:
    return len(run.nodes) + (len(run.given) + len(run.params_json or "")) // _CHARS_OF_A_NODE


class RecentRuns:
    """A bounded cache of active runs, shared by all threads of a scheduler."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, RecentRun] = OrderedDict()
        self._nodes = 0
        self._lock = Lock()
        self.era = 0
        """How often the cache was cleared. What was committed in an earlier era may be lost."""

    def get(self, run_key: str, version: int, plan: Plan) -> Run | None:
        """Return the cached run, or ``None`` if no run with this version and this plan is cached.

        ``plan`` is the parsed spec with its graph of steps. A rename of the DAG's file changes the plan of its runs.
        """
        known = self._runs.get(run_key)
        return known.run if known is not None and known.run.version == version and known.run.plan is plan else None

    def newest(self, run_key: str) -> RecentRun | None:
        """Return the newest version of a running run that this process committed, or ``None`` if it is not cached.

        Another scheduler may have changed the run since.
        """
        known = self._runs.get(run_key)
        return known if known is not None and known.run.status is RunStatus.RUNNING else None

    def keep(self, runs: Iterable[RecentRun], era: int) -> None:
        """Cache runs as they were committed; remove runs that ended.

        ``era``: that in which their transaction began. Does nothing if it is over: the commit may be one of those that
        a failover loses.
        """
        with self._lock:
            if era != self.era:
                return
            for each in runs:
                key = each.run.run_key
                former = self._runs.pop(key, None)
                if former is not None:
                    self._nodes -= _weight(former.run)
                newest = former if former is not None and former.run.version > each.run.version else each
                if newest.run.status.active and tally_of(newest.run).output_chars <= _MOST_OUTPUT_CHARS:
                    self._runs[key] = newest
                    self._nodes += _weight(newest.run)
            while self._nodes > _MOST_NODES:
                _, oldest = self._runs.popitem(last=False)
                self._nodes -= _weight(oldest.run)

    def clear(self) -> None:
        """Remove all runs: the database may have lost its last commits, and count the same versions again."""
        with self._lock:
            self._runs.clear()
            self._nodes = 0
            self.era += 1

    def drop(self, runs: Iterable[Run]) -> None:
        """Remove these runs from the cache: the database has other versions of them.

        A newer version stays, which another thread has committed meanwhile.
        """
        with self._lock:
            for run in runs:
                known = self._runs.get(run.run_key)
                if known is not None and known.run.version <= run.version:
                    del self._runs[run.run_key]
                    self._nodes -= _weight(known.run)
