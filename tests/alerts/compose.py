"""Carries out commands of runbooks for Compose on processes, since tests have no containers."""

import itertools
import shlex
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2

from tests.harness.cluster import Cluster
from tests.harness.procs import DagwayProcess
from tests.harness.prometheus import Prometheus

__all__ = ["Compose"]


class Compose:
    """``docker compose`` for the processes of a cluster and its servers. What it does not know fails the test."""

    def __init__(self, cluster: Cluster, leaf: Prometheus, folder: Path) -> None:
        self._cluster = cluster
        self._leaf = leaf
        self._folder = folder
        self._extra = itertools.count(1)

    def carry_out(self, command: str, *, code: int = 0) -> str:
        """Carry out one line of a page; return what it prints. ``code`` is the exit code that its program must have."""
        match shlex.split(command):
            case ["docker", "compose", "restart", *services]:
                for service in services:
                    self._restart(service)
            case ["docker", "compose", "up", "--detach", "--scale", scale]:
                service, _, replicas = scale.partition("=")
                self._scale(service, int(replicas))
                self._up([])
            case ["docker", "compose", "up", "--detach", "--wait", "prometheus"]:
                self._leaf.start()
            case ["docker", "compose", "up", "--detach", "--wait", *services]:
                self._up(services)
            case ["docker", "compose", "run", "--rm", "migrate"]:
                return self._run(["migrate"], {"DAGWAY_DATABASE_URL": self._cluster.urls["owner"]}, code)
            case ["docker", "compose", "exec", service, "dagway", *words]:
                return self._run(words, self._of(service)[0].env, code)
            case ["docker", "compose", "exec", "postgres", "psql", "-U", "postgres", "dagway", "-c", query]:
                return self._psql(query)
            case ["docker", "compose", "exec", "rabbitmq", "rabbitmqctl", action, "--vhost", "dagway", *words]:
                vhost = unquote(urlsplit(self._cluster.amqp_url).path.removeprefix("/"))
                return self._cluster.rabbit.ctl(action, "--vhost", vhost, *words)
            case _:
                raise AssertionError(f"a command that tests cannot carry out: {command}")
        return ""

    def _of(self, service: str) -> list[DagwayProcess]:
        cluster = self._cluster
        return {"api": cluster.gateways, "scheduler": cluster.schedulers, "worker": cluster.workers}[service]

    def _restart(self, service: str) -> None:
        cluster = self._cluster
        if service == "postgres":
            cluster.postgres.stop()
            cluster.postgres.start()
        elif service == "rabbitmq":
            cluster.rabbit.kill()
            cluster.rabbit.start()
        else:
            for process in self._of(service):
                if process.running:
                    process.terminate()
            cluster.start(*self._of(service))

    def _psql(self, query: str) -> str:
        """Run a query as the superuser, and return a line for each row, as ``psql`` without alignment does."""
        name = urlsplit(self._cluster.urls["owner"]).path.removeprefix("/")
        with closing(psycopg2.connect(self._cluster.postgres.database_url(name))) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return "".join(f"{'|'.join(map(str, row))}\n" for row in cursor.fetchall())

    def _up(self, services: Sequence[str]) -> None:
        chosen = [process for service in services for process in self._of(service)] or self._cluster.processes
        self._cluster.start(*[process for process in chosen if not process.running])

    def _scale(self, service: str, replicas: int) -> None:
        assert service == "worker", service
        workers = self._cluster.workers
        while len(workers) < replicas:
            workers.append(self._cluster.worker(f"more-{next(self._extra)}"))

    def _run(self, words: Sequence[str], env: dict[str, str], code: int) -> str:
        folder = self._folder / f"command-{next(self._extra)}"
        settings = {name: value for name, value in env.items() if name != "DAGWAY_METRICS_PORT"}
        with DagwayProcess(*words, folder=folder, env=settings) as process:
            assert process.wait_exit() == code, process.output()
        return process.output()
