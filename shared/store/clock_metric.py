"""The metric of the difference between the host's clock and the database's."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from shared.store.clock import StoreClock

__all__ = ["ClockCollector"]


class ClockCollector:
    """What ``clock`` has measured last. Registered with the admin server of a service."""

    def __init__(self, clock: StoreClock) -> None:
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "dagway_clock_skew_seconds",
            "How far this host's clock is ahead of the database's; schedulers and gateways use the database's time",
            self._clock.skew_s,
        )
