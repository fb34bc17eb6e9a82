"""Metrics of the schema revision that this process needs and of the revision that the database has."""

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from shared.store.reads.base import SchemaRevision
from shared.store.scraped import Scraped

__all__ = ["SchemaCollector"]


class SchemaCollector:
    """Reads the revision at each scrape. Has no samples while ``dagway_database_up`` is 0."""

    def __init__(self, read: Callable[[], SchemaRevision]) -> None:
        self._schema = Scraped(read)

    def collect(self) -> Iterable[Metric]:
        schema = self._schema.get()
        if schema is None:
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
