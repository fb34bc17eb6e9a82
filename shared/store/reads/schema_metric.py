"""Metrics of the schema revision that this process needs and of the revision that the database has."""

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from shared.errors import StoreUnavailable
from shared.store.reads.base import SchemaRevision

__all__ = ["SchemaCollector"]


class SchemaCollector:
    """Reads the revision at each scrape. Has no samples while the database is unavailable (see ``dagway_store_up``)."""

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
            "Always 1. Labels: the schema revision that this process needs, and the revision of the database",
            labels=list(labels),
        )
        info.add_metric(list(labels.values()), 1)
        yield info
        yield GaugeMetricFamily(
            "dagway_schema_skew",
            "1 if the schema revision of the database differs from the revision that this process needs, else 0",
            value=int(schema.expected != schema.found),
        )
