"""A worker's metrics."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from shared.contracts.events import Outcome

__all__ = ["WorkerCollector", "WorkerCounters", "WorkerFacts"]

_FINISHED = "finished."
_ANSWERS = ("granted", "refused", "none", "unasked")
_ASKED = "asked."


@dataclass(slots=True)
class WorkerCounters:
    """Totals since the start of the process, by name.

    The name for attempts that ended is ``finished.<outcome>``, for those that were asked for ``asked.<answer>``.
    """

    values: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str) -> None:
        """Add 1 to a total."""
        with self._lock:
            self.values[name] = self.values.get(name, 0) + 1

    def now(self) -> Mapping[str, int]:
        """Return a consistent copy of all totals."""
        with self._lock:
            return dict(self.values)


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker says about itself at one moment. ``counts`` are the totals of ``WorkerCounters``."""

    counts: Mapping[str, int]
    slots: int
    busy: int
    """How many attempts run or are not reported yet."""
    draining: bool
    spooled: int
    """How many reports are on disk because the broker has not accepted them."""
    trouble: str
    """Why this worker cannot take tasks; empty if it can."""


class WorkerCollector:
    """Collects the ``dagway_worker_*`` metrics of one worker at each scrape."""

    def __init__(self, facts: Callable[[], WorkerFacts]) -> None:
        self._facts = facts

    def collect(self) -> Iterable[Metric]:
        worker = self._facts()
        counts = worker.counts
        finished = CounterMetricFamily(
            "dagway_worker_attempts_finished", "Attempts that ended on this worker, by outcome", labels=["outcome"]
        )
        for outcome in get_args(Outcome):
            finished.add_metric([outcome], counts.get(_FINISHED + outcome, 0))
        yield finished
        yield CounterMetricFamily(
            "dagway_worker_tasks_redelivered",
            "Tasks that were delivered or sent before; the worker asks before it runs them",
            value=counts.get("redelivered", 0),
        )
        asked = CounterMetricFamily(
            "dagway_worker_attempts_asked",
            "Attempts that the worker asked for before it ran them, by answer; unasked: the broker took no request",
            labels=["answer"],
        )
        for answer in _ANSWERS:
            asked.add_metric([answer], counts.get(_ASKED + answer, 0))
        yield asked
        yield CounterMetricFamily(
            "dagway_worker_tasks_handed_back",
            "Tasks handed back: no slot was free, the disk was full, or the worker was stopping",
            value=counts.get("handed_back", 0),
        )
        yield GaugeMetricFamily("dagway_worker_slots", "Attempts that this worker can run at once", value=worker.slots)
        yield GaugeMetricFamily(
            "dagway_worker_attempts_held",
            "Attempts that run, or have ended and whose end report is not delivered yet",
            value=worker.busy,
        )
        yield GaugeMetricFamily(
            "dagway_worker_draining",
            "1 while this worker takes no new runs: it is stopping or drained, else 0",
            value=int(worker.draining),
        )
        yield GaugeMetricFamily(
            "dagway_worker_reports_spooled",
            "Reports on this worker's disk that the broker has not accepted yet",
            value=worker.spooled,
        )
