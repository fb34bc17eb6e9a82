"""Run Dagway as real processes, embedded or distributed. Uses loopback only and removes its files."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from bench.measuring.processes import Pids
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import OWN_PROGRAM, DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer

__all__ = ["Rig", "Servers", "database", "distributed", "embedded", "running", "servers"]

_DEADLINE_S = 120


class Rig:
    """A running Dagway, with a client of its database.

    ``url``: of its gateway. ``pids``: its processes by service. ``metrics``: the URLs of their metrics.
    """

    def __init__(
        self,
        name: str,
        url: str,
        database_url: str,
        pids: Pids | None = None,
        metrics: Sequence[str] = (),
    ) -> None:
        self.name, self.url = name, url
        self.pids, self.metrics = pids or {}, metrics
        self.engine: Engine = open_engine(database_url, read_only=True)

    def rows(self, query: str, **values: object) -> list[dict[str, Any]]:
        """Return the rows that a query finds in the database."""
        with self.engine.begin() as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def wait_ended(self, dag: str, count: int) -> None:
        """Wait until ``count`` runs of a DAG have ended, all successfully."""

        def ended() -> bool:
            query = "SELECT status, count(*) AS n FROM dag_runs WHERE dag_name = :dag GROUP BY status"
            found = {row["status"]: row["n"] for row in self.rows(query, dag=dag)}
            bad = found.keys() - {"not_started", "queued", "running", "succeeded"}
            if bad:
                raise RuntimeError(f"runs of {dag} ended {bad}")
            return bool(found.get("succeeded", 0) >= count)

        eventually(ended, timeout_s=_DEADLINE_S, every_s=0.005, slowest_s=0.005)


@contextmanager
def running(module: str, *args: str) -> Iterator[int]:
    """Run a module as a process and yield its process id."""
    process = subprocess.Popen((sys.executable, "-m", module, *args))
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(15)


@dataclass(frozen=True, slots=True)
class Servers:
    """A RabbitMQ and a Postgres with fsync, which several systems may use one after the other."""

    rabbit: RabbitServer
    postgres: PostgresServer

    @property
    def pids(self) -> dict[str, Sequence[int]]:
        return {"RabbitMQ": [self.rabbit.pid], "Postgres": [self.postgres.pid]}


@contextmanager
def servers() -> Iterator[Servers]:
    """Run the servers that a distributed system needs."""
    with RabbitServer() as rabbit, PostgresServer(fsync=True) as postgres:
        yield Servers(rabbit, postgres)


@contextmanager
def database(kind: str) -> Iterator[tuple[str, int | None]]:
    """Yield the URL of a new ``sqlite`` or ``postgres`` database, and the process id of its server if it has one."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder:
            migrate(url := f"sqlite:///{folder}/dagway.db")
            yield url, None
    else:
        with PostgresServer(fsync=True) as server:
            migrate(url := server.create_database())
            yield url, server.pid


@contextmanager
def embedded(*, slots: int = 100, executed: bool = False) -> Iterator[Rig]:
    """Run ``dagway up`` on SQLite. ``slots``, ``executed``: as of ``distributed``."""
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder:
        port = free_port()
        home = Path(folder)
        admin = free_port()
        env = {
            "DAGWAY_PORT": str(port),
            "DAGWAY_METRICS_PORT": str(admin),
            "DAGWAY_DATA_DIR": str(home / "data"),
            "DAGWAY_LOG_LEVEL": "warning",
            "DAGWAY_WORKER_SLOTS": str(slots),
        }
        with DagwayProcess("up", folder=home, env=env, program=OWN_PROGRAM if executed else None) as process:
            process.wait_ready(f"http://127.0.0.1:{port}/api/v2/health")
            yield Rig(
                "embedded",
                f"http://127.0.0.1:{port}",
                f"sqlite:///{home}/data/dagway.db",
                {"dagway up": [process.pid]},
                [f"http://127.0.0.1:{admin}/metrics"],
            )


@contextmanager
def distributed(
    gateways: int = 1,
    schedulers: int = 1,
    workers: int = 2,
    *,
    on: Servers | None = None,
    vhost: str = "",
    slots: int = 100,
    executed: bool = False,
) -> Iterator[Rig]:
    """Run each service as a process, on RabbitMQ and Postgres with fsync.

    ``on``: running servers, instead of new ones; the system gets a database of its own there. ``vhost``: the URL of
    the broker's vhost, if not the default one. ``slots``: of each worker. ``executed``: no process is forked from
    one that has imported the services, so that none shares memory with it.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-bench-")))
        home.chmod(0o755)  # Postgres runs as another user
        used = stack.enter_context(servers() if on is None else nullcontext(on))
        database_url = used.postgres.create_database()
        migrate(database_url)
        common = {"DAGWAY_AMQP_URL": vhost or used.rabbit.url, "DAGWAY_LOG_LEVEL": "warning"}
        pids: dict[str, list[int]] = {"workers": [], "schedulers": [], "gateways": []}
        metrics: list[str] = []

        def start(command: str, folder: str, env: dict[str, str]) -> DagwayProcess:
            port = free_port()
            metrics.append(f"http://127.0.0.1:{port}/metrics")
            env = {**common, "DAGWAY_METRICS_PORT": str(port), **env}
            program = OWN_PROGRAM if executed else None
            process = stack.enter_context(DagwayProcess(command, folder=home / folder, env=env, program=program))
            pids[{"api": "gateways"}.get(command, f"{command}s")].append(process.pid)
            return process

        ports = [free_port() for _ in range(gateways)]
        for number in range(workers):
            of_worker = {"DAGWAY_WORKER_ID": f"w{number}", "DAGWAY_DATA_DIR": str(home / f"w{number}")}
            start("worker", f"w{number}", {**of_worker, "DAGWAY_WORKER_SLOTS": str(slots)})
        for number in range(schedulers):
            start("scheduler", f"s{number}", {"DAGWAY_DATABASE_URL": database_url})
        for port in ports:
            gateway = start("api", f"g{port}", {"DAGWAY_DATABASE_URL": database_url, "DAGWAY_PORT": str(port)})
            gateway.wait_ready(f"http://127.0.0.1:{port}/api/v2/health", timeout_s=_DEADLINE_S)
        rig = Rig("distributed", f"http://127.0.0.1:{ports[0]}", database_url, pids, metrics)
        ready = "SELECT count(*) AS n FROM workers WHERE state = 'live'"
        eventually(lambda: rig.rows(ready)[0]["n"] == workers, timeout_s=_DEADLINE_S)
        yield rig
        rig.engine.dispose()
