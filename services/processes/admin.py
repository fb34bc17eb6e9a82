"""The admin server of a process, if the configuration sets ``DAGWAY_METRICS_PORT``."""

from collections.abc import Callable
from typing import Self

from prometheus_client.registry import Collector

from shared.admin_server import AdminServer
from shared.settings.config import Config

__all__ = ["OptionalAdminServer"]


class OptionalAdminServer:
    """Runs an admin server during the ``with`` block; does nothing if ``DAGWAY_METRICS_PORT`` is 0.

    It takes its port when it is made.
    """

    def __init__(self, config: Config, trouble: Callable[[], str]) -> None:
        self._server = AdminServer(config.host, config.metrics_port, trouble) if config.metrics_port else None

    def __enter__(self) -> Self:
        if self._server is not None:
            self._server.start()
        return self

    def add(self, collector: Collector) -> None:
        if self._server is not None:
            self._server.add(collector)

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()
