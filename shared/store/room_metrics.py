"""Metrics of the room that the database has: its size, and what failed because its disk was full."""

from collections.abc import Callable, Iterable

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, Metric

from shared.store.scraped import Scraped

__all__ = ["DISK_FULL", "DatabaseSizeCollector"]

DISK_FULL = Counter(
    "dagway_database_disk_full",
    "Statements that the database refused because its disk is full",
)
_KEPT_S = 30.0
"""The shortest time between two queries of the size: Postgres looks at every file of the database."""


class DatabaseSizeCollector:
    """Reports the size of the database, the same in every process, and the setting ``DAGWAY_DATABASE_ROOM_MIB``.

    Has no samples while the database is unavailable (see ``dagway_database_up``).
    """

    def __init__(self, read_bytes: Callable[[], int], room_mib: int) -> None:
        self._size, self._room_bytes = Scraped(read_bytes, kept_s=_KEPT_S), room_mib << 20

    def collect(self) -> Iterable[Metric]:
        size = self._size.get()
        if size is None:
            return
        yield GaugeMetricFamily(
            "dagway_database_size_bytes",
            "Size of the database on its server's disk, without the write-ahead log",
            value=size,
        )
        if self._room_bytes:
            yield GaugeMetricFamily(
                "dagway_database_room_bytes",
                "Bytes that the database may take: DAGWAY_DATABASE_ROOM_MIB, absent if that is 0",
                value=self._room_bytes,
            )
