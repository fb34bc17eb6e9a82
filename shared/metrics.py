"""Metrics that every service has, and the limit on how many DAGs get series of their own.

Collectors run at each scrape. They are registered with the admin server of their service, not with the client
library's global registry, because tests run many services in one process.
"""

import platform
import threading
from collections.abc import Collection, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from shared.disk import Volume
from shared.system.proc import open_files
from shared.transport.base import Transport
from shared.transport.signed import SignedTransport

__all__ = ["LATENCY_S", "OTHER", "PHASE_S", "DagNames", "ProcessCollector", "fold"]

LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Histogram buckets in seconds. All latency histograms use them, so that they can be compared and summed."""
PHASE_S = (0.001, 0.0025, *LATENCY_S)
"""The buckets of phases, which take a few milliseconds each."""
OTHER = "other"
"""The label of all DAGs beyond the limit."""


class DagNames:
    """Chooses the value of the label ``dag``: the name of the DAG for the first ``limit`` DAGs, else ``other``.

    A DAG keeps its label, because a counter must not move from one series to another. Only a DAG that is not stored any
    more gives its place to a stored one: its series end, and its past does not count as ``other``, whose counters would
    jump. With a ``limit`` of 0, every DAG is ``other``.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._retired: set[str] = set()

    def label(self, dag_name: str) -> str:
        """Return the label for a DAG; empty if its series have ended. A new DAG gets a free place, if there is one."""
        with self._lock:
            if dag_name not in self._known:
                if dag_name in self._retired:
                    return ""
                if len(self._known) >= self._limit:
                    return OTHER
                self._known.add(dag_name)
            return dag_name

    def short(self, by_size: Mapping[str, int]) -> bool:
        """Return whether there are too few places for these DAGs."""
        with self._lock:
            return len(self._known | by_size.keys()) > self._limit

    def admit(self, by_size: Mapping[str, int], stored: Collection[str] | None = None) -> int:
        """Give places to the DAGs in ``by_size``, largest first, whatever the order of events is.

        Of ``stored``, the names of the stored DAGs, those without a place take those of DAGs that are not stored.
        Returns how many of the DAGs in ``by_size`` share the label ``other``.
        """
        with self._lock:
            if stored is not None:
                self._retired -= set(stored)
            unknown = by_size.keys() - self._known - self._retired
            order = sorted(unknown, key=lambda name: (stored is not None and name not in stored, -by_size[name], name))
            gone = sorted(self._known - set(stored), reverse=True) if stored is not None else []
            folded = 0
            for name in order:
                if len(self._known) >= self._limit and gone and stored is not None and name in stored:
                    self._known.remove(gone[-1])
                    self._retired.add(gone.pop())
                if len(self._known) < self._limit:
                    self._known.add(name)
                else:
                    folded += 1
            return folded


def fold(names: DagNames, by_dag: Mapping[str, int]) -> dict[str, int]:
    """Return the values in ``by_dag`` by label: those of all DAGs that share a label are added."""
    found: dict[str, int] = {}
    for name, value in by_dag.items():
        if label := names.label(name):
            found[label] = found.get(label, 0) + value
    return found


class ProcessCollector:
    """Metrics of the process itself: version, broker connection, disk, threads, open files. Sends no requests."""

    def __init__(self, service: str, version: str, transport: Transport | None, volume: Volume) -> None:
        self._service, self._version, self._transport, self._volume = service, version, transport, volume

    def collect(self) -> Iterable[Metric]:
        build = GaugeMetricFamily(
            "dagway_build_info",
            "Always 1; the labels give the service, its version and the version of Python",
            labels=["service", "version", "python"],
        )
        build.add_metric([self._service, self._version, platform.python_version()], 1)
        yield build
        if self._transport is not None:
            blocked = self._transport.blocked
            yield GaugeMetricFamily(
                "dagway_broker_connected",
                "1 while this process has a channel to publish on, though the broker may be blocking it",
                value=int(self._transport.healthy or blocked),
            )
            yield GaugeMetricFamily(
                "dagway_broker_blocked",
                "1 while the broker refuses to take messages (a resource alarm)",
                value=int(blocked),
            )
        if isinstance(self._transport, SignedTransport):
            yield from _signatures(self._transport)
        size, free = self._volume.room()
        yield GaugeMetricFamily(
            "dagway_disk_size_bytes", "Size of the file system with the data folder, at most DAGWAY_DATA_SIZE", size
        )
        yield GaugeMetricFamily(
            "dagway_disk_free_bytes",
            "Free bytes in the file system with the data folder, for the user of this process, at most what is left of "
            "DAGWAY_DATA_SIZE",
            free,
        )
        yield GaugeMetricFamily("dagway_threads", "Threads of this process", value=threading.active_count())
        yield GaugeMetricFamily("dagway_open_files", "Open file descriptors", value=open_files())


def _signatures(transport: SignedTransport) -> Iterable[Metric]:
    by_reason, unsigned = transport.counts.snapshot()
    refused = CounterMetricFamily(
        "dagway_messages_refused",
        "Messages whose signature this process refused, by kind of broker queue and reason (only if messages are "
        "signed)",
        labels=["queue_kind", "reason"],
    )
    for labels, count in by_reason.items():
        refused.add_metric(labels, count)
    yield refused
    accepted = CounterMetricFamily(
        "dagway_messages_unsigned",
        "Messages without a signature that were accepted, by kind of broker queue "
        "(DAGWAY_MESSAGE_SIGNING=accept-unsigned)",
        labels=["queue_kind"],
    )
    for queue, count in unsigned.items():
        accepted.add_metric([queue], count)
    yield accepted
