"""What a worker counts about itself, and how it is told to whoever scrapes."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["Counters", "WorkerCollector"]

_OUTCOMES = ("succeeded", "failed", "timed_out", "aborted", "skipped", "broken")
_FINISHED = "finished."


@dataclass(slots=True)
class Counters:
    """Totals since the process began, by name; ``finished.<outcome>`` for each outcome."""

    values: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str) -> None:
        with self._lock:
            self.values[name] = self.values.get(name, 0) + 1

    def now(self) -> Mapping[str, int]:
        """Return a copy, all of one moment."""
        with self._lock:
            return dict(self.values)


class _Watched(Protocol):
    @property
    def counters(self) -> Counters: ...
    @property
    def slots(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def draining(self) -> bool: ...
    @property
    def spooled(self) -> int: ...


class WorkerCollector:
    """The ``dagway_worker_*`` metrics of one worker, read at each scrape."""

    def __init__(self, worker: _Watched) -> None:
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        counts = self._worker.counters.now()
        finished = CounterMetricFamily(
            "dagway_worker_attempts_finished", "Attempts this worker made to their end, by outcome", labels=["outcome"]
        )
        for outcome in _OUTCOMES:
            finished.add_metric([outcome], counts.get(_FINISHED + outcome, 0))
        yield finished
        yield CounterMetricFamily(
            "dagway_worker_tasks_redelivered",
            "Tasks the broker delivered a second time; reported, not run",
            value=counts.get("redelivered", 0),
        )
        yield CounterMetricFamily(
            "dagway_worker_tasks_handed_back",
            "Tasks given back for want of a slot, or while stopping",
            value=counts.get("handed_back", 0),
        )
        yield GaugeMetricFamily("dagway_worker_slots", "Attempts it may run at once", value=self._worker.slots)
        yield GaugeMetricFamily(
            "dagway_worker_attempts_held",
            "Attempts it runs, or has ended and not yet reported",
            value=self._worker.busy,
        )
        yield GaugeMetricFamily(
            "dagway_worker_draining", "1 from the moment it was asked to end", value=int(self._worker.draining)
        )
        yield GaugeMetricFamily(
            "dagway_worker_reports_spooled",
            "Reports on disk that the broker has not taken yet",
            value=self._worker.spooled,
        )
