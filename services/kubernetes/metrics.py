"""The metrics of ``dagway deletion-costs``."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["DeletionCostCollector", "DeletionCostCounts"]

_PATCHES = ("written", "gone", "refused", "failed")
_READS = ("read", "failed")


@dataclass(slots=True)
class DeletionCostCounts:
    """Totals since the start of the process. Only one thread writes them."""

    patches: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    last_pass_at: float = 0
    """When all pods had last been looked at and all changes written, in seconds since 1970; 0: never."""


class DeletionCostCollector:
    """Collects the ``dagway_deletion_cost_*`` metrics at each scrape."""

    def __init__(self, counts: DeletionCostCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        patches = CounterMetricFamily(
            "dagway_deletion_cost_patches",
            "Requests to the cluster's API to annotate a worker's pod, by outcome; gone: there is no such pod any more",
            labels=["outcome"],
        )
        for outcome in _PATCHES:
            patches.add_metric([outcome], self._counts.patches[outcome])
        yield patches
        reads = CounterMetricFamily(
            "dagway_deletion_cost_reads",
            "Requests to workers' pods for the number of attempts that they hold, by outcome",
            labels=["outcome"],
        )
        for outcome in _READS:
            reads.add_metric([outcome], self._counts.reads[outcome])
        yield reads
        yield GaugeMetricFamily(
            "dagway_deletion_cost_last_pass_timestamp_seconds",
            "When all workers' pods had last been looked at and all changes written, in seconds since 1970; 0: never",
            value=self._counts.last_pass_at,
        )
