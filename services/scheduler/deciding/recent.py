"""A cache of runs as this process last committed them: the next decision about a run reads its row but not its nodes.

A cached run is used only if the run's row still has the same version; every decision of any scheduler increments the
version. Only the dispatch time of a task that the sweep sends changes without a new version; no decision depends on it.
"""

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from services.scheduler.core.model import Run
from services.scheduler.core.plan import Plan
from services.scheduler.core.tally import tally_of

__all__ = ["RecentRuns"]

_MOST_NODES = 20_000
_MOST_OUTPUT_CHARS = 65_536
"""A run with more output than this is not cached, to save memory."""


class RecentRuns:
    """A bounded cache of active runs, shared by all threads of a scheduler."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._nodes = 0
        self._lock = Lock()

    def get(self, run_key: str, version: int, plan: Plan) -> Run | None:
        """Return the cached run, or ``None`` if no run with this version and this plan is cached.

        ``plan`` is the parsed spec with its graph of steps. A rename of the DAG's file changes the plan of its runs.
        """
        run = self._runs.get(run_key)
        return run if run is not None and run.version == version and run.plan is plan else None

    def keep(self, runs: Iterable[Run]) -> None:
        """Cache runs as they were committed; remove runs that ended."""
        with self._lock:
            for run in runs:
                former = self._runs.pop(run.run_key, None)
                if former is not None:
                    self._nodes -= len(former.nodes)
                newest = former if former is not None and former.version > run.version else run
                if newest.status.active and tally_of(newest).output_chars <= _MOST_OUTPUT_CHARS:
                    self._runs[run.run_key] = newest
                    self._nodes += len(newest.nodes)
            while self._nodes > _MOST_NODES:
                _, oldest = self._runs.popitem(last=False)
                self._nodes -= len(oldest.nodes)
