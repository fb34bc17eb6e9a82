"""Counts of ended runs by DAG and status, and histograms of their durations.

The first call of ``get`` reads the totals that schedulers keep, and so does a call after ``_SILENCE_S``. Each call
adds the transitions committed since.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping

from shared.metrics import DagNames
from shared.run_totals import DagTotals, Distribution
from shared.status import RunStatus
from shared.store.reads.reader import Reads

__all__ = ["Histogram", "RunTotals"]

Histogram = Mapping[str, tuple[tuple[int, ...], float]]
"""By DAG name: the counts of a ``Distribution``, and its sum in seconds. DAGs without a run in it are left out."""

_KEPT_S = 1.0
"""Also a limit on the load: more frequent scrapes cause no more queries."""
_SILENCE_S = 1800.0
"""After a longer time without a call, reading the kept totals is cheaper than counting on."""


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
        self._by_dag: dict[str, DagTotals] = {}
        self.names = DagNames(max_dags)
        """The DAGs that have their own series in metrics. All others are summed in the series ``other``."""
        self.folded = 0
        """How many DAGs are summed in the series ``other``."""

    def get(
        self, reads: Reads, active: Collection[str] = ()
    ) -> tuple[Mapping[tuple[str, RunStatus], int], Histogram, Histogram]:
        """Return counts of root runs that ended or wait for approval, and their durations and queue times by DAG.

        ``active``: the DAGs with running or queued runs, which need series too.
        """
        with self._lock:
            now = self._clock_s()
            if now - self._asked_at >= self._kept_s:
                self._renew(reads, active, anew=now - self._asked_at > _SILENCE_S)
                self._asked_at = now
            runs = {(name, status): many for name, each in self._by_dag.items() for status, many in each.runs.items()}
            durations = {name: each.durations for name, each in self._by_dag.items()}
            waits = {name: each.waits for name, each in self._by_dag.items()}
            return runs, _so_far(durations), _so_far(waits)

    def _renew(self, reads: Reads, active: Collection[str], *, anew: bool) -> None:
        if anew:
            found = reads.history()
            self._mark, self._by_dag = found.mark, dict(found.by_dag)
        self._mark, changes = reads.changes_since(self._mark)
        for change in changes:
            self._by_dag.setdefault(change.dag_name, DagTotals()).count(change)
        ended = {name: sum(totals.runs.values()) for name, totals in self._by_dag.items() if totals.runs}
        sizes = {**dict.fromkeys(active, 0), **ended}
        stored = reads.dag_names() if self.names.short(sizes) else None
        self.folded = self.names.admit(sizes, stored)


def _so_far(by_dag: Mapping[str, Distribution]) -> Histogram:
    return {name: (tuple(each.counts), each.total_s) for name, each in by_dag.items() if each.counts[-1]}
