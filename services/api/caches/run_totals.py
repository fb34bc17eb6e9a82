"""Counts of ended runs by DAG and status, and histograms of their durations.

The first call of ``get`` reads the whole history, and so does a call after ``_SILENCE_S``. Other calls only read the
transitions committed since the previous call. So counts do not shrink between two readings of the whole history: the
earlier ends of retried runs and the ends of removed runs stay counted. Runs that wait for approval have not ended, and
count only while they wait.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from shared.metrics import DagNames
from shared.status import RunStatus
from shared.store.reads.reader import Histogram, Reads, StatusChange

__all__ = ["DURATION_BOUNDS_S", "WAIT_BOUNDS_S", "RunTotals"]

DURATION_BOUNDS_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
WAIT_BOUNDS_S = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Source: REST contract section 6."""

_KEPT_S = 1.0
"""Also a limit on the load: more frequent scrapes cause no more queries."""
_SILENCE_S = 1800.0
"""After a longer time without a call, there may be more new transitions than runs: the history is read again."""
_UNCOUNTED = frozenset({RunStatus.NOT_STARTED, RunStatus.RUNNING, RunStatus.QUEUED})
"""Statuses that a run leaves soon. ``Reads.active_counts`` counts their runs instead."""


class _Distribution:
    """Cumulative histogram counts and sums by DAG."""

    def __init__(self, bounds: tuple[float, ...], known: Histogram) -> None:
        self._bounds = bounds
        self._by_dag = {name: (list(counts), total) for name, (counts, total) in known.items()}

    def add(self, dag_name: str, begin: datetime | None, end: datetime | None) -> None:
        if begin is None or end is None:
            return
        seconds = (end - begin).total_seconds()
        counts, total = self._by_dag.get(dag_name, ([0] * (len(self._bounds) + 1), 0.0))
        for place, bound in enumerate((*self._bounds, float("inf"))):
            counts[place] += seconds <= bound
        self._by_dag[dag_name] = (counts, total + seconds)

    def so_far(self) -> Histogram:
        return {name: (tuple(counts), total) for name, (counts, total) in self._by_dag.items()}


class RunTotals:
    """Counts and histograms that are at most ``kept_s`` old. One caller queries the database while others wait."""

    def __init__(
        self, kept_s: float = _KEPT_S, max_dags: int = 1000, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock_s = clock_s
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._mark = ""
        self._runs: dict[tuple[str, RunStatus], int] = {}
        self._durations = _Distribution(DURATION_BOUNDS_S, {})
        self._waits = _Distribution(WAIT_BOUNDS_S, {})
        self.names = DagNames(max_dags)
        """The DAGs that have their own series in metrics. All others are summed in the series ``other``."""
        self.folded = 0
        """How many DAGs are summed in the series ``other``."""

    def get(self, reads: Reads) -> tuple[Mapping[tuple[str, RunStatus], int], Histogram, Histogram]:
        """Return counts of root runs that ended or wait for approval, and their durations and queue times by DAG."""
        with self._lock:
            now = self._clock_s()
            if now - self._asked_at >= self._kept_s:
                if now - self._asked_at > _SILENCE_S:
                    self._begin(reads)
                else:
                    mark, changes = reads.changes_since(self._mark)
                    self._count(changes)
                    self._mark = mark
                self._asked_at = now
                sizes: dict[str, int] = {}
                for (name, _), runs in self._runs.items():
                    sizes[name] = sizes.get(name, 0) + runs
                stored = reads.dag_names() if self.names.short(sizes) else None
                self.folded = self.names.admit(sizes, stored)
            return dict(self._runs), self._durations.so_far(), self._waits.so_far()

    def _begin(self, reads: Reads) -> None:
        found = reads.history(DURATION_BOUNDS_S, WAIT_BOUNDS_S)
        self._mark = found.mark
        self._runs = {key: runs for key, runs in found.runs.items() if key[1] not in _UNCOUNTED}
        self._durations = _Distribution(DURATION_BOUNDS_S, found.durations)
        self._waits = _Distribution(WAIT_BOUNDS_S, found.waits)

    def _count(self, changes: Iterable[StatusChange]) -> None:
        for change in changes:
            was, became = RunStatus(change.was), RunStatus(change.became)
            if was is became:
                continue
            if became not in _UNCOUNTED:
                self._add(change.dag_name, became, 1)
            if was is RunStatus.WAITING:
                self._add(change.dag_name, was, -1)
            # Only the first run attempt: when a run continues after approvals, it is queued without waiting in a queue.
            if was is RunStatus.QUEUED and became is RunStatus.RUNNING and change.run_attempt == 1:
                self._waits.add(change.dag_name, change.queued_at, change.started_at)
            if was.active and not became.active:
                self._durations.add(change.dag_name, change.started_at, change.finished_at)

    def _add(self, dag_name: str, status: RunStatus, by: int) -> None:
        key = (dag_name, status)
        self._runs[key] = self._runs.get(key, 0) + by
