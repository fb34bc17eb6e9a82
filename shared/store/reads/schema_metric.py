"""Metrics of the schema revision: the one this process needs and the one the database has."""

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from shared.errors import StoreUnavailable
from shared.store.reads.base import SchemaRevision

__all__ = ["SchemaCollector"]


class SchemaCollector:
    """Reads the revision at each scrape; has no sample while the database is away, which has a metric of its own."""

    def __init__(self, read: Callable[[], SchemaRevision]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        try:
            schema = self._read()
        except StoreUnavailable:
            return
        labels = {"expected": schema.expected, "found": schema.found or ""}
        info = GaugeMetricFamily(
            "dagway_schema_info",
            "Always 1; the labels say which revision this process was written for and which the database has",
            labels=list(labels),
        )
        info.add_metric(list(labels.values()), 1)
        yield info
        yield GaugeMetricFamily(
            "dagway_schema_skew",
            "1 while the database's schema is not the one this process was written for",
            value=int(schema.expected != schema.found),
        )
