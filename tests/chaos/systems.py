"""The systems under test: every link of a distributed system goes through a proxy of its own."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.harness.client import Client
from tests.harness.cluster import Cluster
from tests.harness.eventually import free_port
from tests.harness.procs import DagwayProcess
from tests.harness.proxy import Proxy
from tests.harness.servers import PostgresServer, RabbitServer

__all__ = ["BROKER", "DATABASE", "ProxiedCluster"]

BROKER, DATABASE = "broker", "database"


class ProxiedCluster(Cluster):
    """A cluster with one proxy for each process and server. ``links`` has them by ``(process, server)``.

    ``env`` are further settings of schedulers and workers. ``amqp_urls``: a broker URL for each service, to use as it
    is; there is then no proxy for the broker. ``pool``: the worker pool, if the broker's logins have one.
    """

    def __init__(
        self,
        folder: Path,
        rabbit: RabbitServer,
        postgres: PostgresServer,
        *,
        gateways: int,
        schedulers: int,
        workers: int,
        lease_s: float,
        env: Mapping[str, str] | None = None,
        amqp_urls: Mapping[str, str] | None = None,
        pool: str = "",
    ) -> None:
        super().__init__(
            folder, rabbit, postgres, gateways=0, schedulers=0, workers=0, lease_s=lease_s, amqp_urls=amqp_urls
        )
        self._direct = amqp_urls is not None
        self.links: dict[tuple[str, str], Proxy] = {}
        self.names: dict[DagwayProcess, str] = {}
        self._proxies = ExitStack()
        extra = dict(env or {})
        self.ports = [free_port() for _ in range(gateways)]
        for number, port in enumerate(self.ports):
            name = f"api-{number + 1}"
            self._add(
                self.gateways,
                name,
                self.gateway(number, port, **self._amqp(name, "api"), **self._database(name, "api")),
            )
        for number in range(schedulers):
            name = f"scheduler-{number + 1}"
            settings = {**self._amqp(name, "scheduler"), **self._database(name, "scheduler"), **extra}
            self._add(self.schedulers, name, self.scheduler(name, **settings))
        for number in range(workers):
            name = f"{pool}-w{number + 1}" if pool else f"w{number + 1}"
            settings = {**self._amqp(name, "worker"), "DAGWAY_WORKER_SLOTS": "6", **extra}
            self._add(self.workers, name, self.worker(name, **settings))
        self.client = Client(self.ports)

    def _add(self, kind: list[DagwayProcess], name: str, process: DagwayProcess) -> None:
        kind.append(process)
        self.names[process] = name

    def _amqp(self, name: str, service: str) -> dict[str, str]:
        url = self.amqp_urls[service]
        return {"DAGWAY_AMQP_URL": url if self._direct else self._through(name, BROKER, url)}

    def _database(self, name: str, user: str) -> dict[str, str]:
        return {"DAGWAY_DATABASE_URL": self._through(name, DATABASE, self.urls[user])}

    def _through(self, name: str, server: str, url: str) -> str:
        parts = urlsplit(url)
        proxy = self._proxies.enter_context(Proxy(int(parts.port or 0)))
        self.links[name, server] = proxy
        login, _, address = parts.netloc.rpartition("@")
        host = address.partition(":")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@{host}:{proxy.port}"))

    def close(self) -> None:
        """End all processes, then the proxies."""
        super().close()
        self._proxies.close()
