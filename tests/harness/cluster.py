"""The whole system as real processes, on either deployment.

``Embedded`` is one ``dagway up``. ``Cluster`` is any number of gateways, schedulers and workers on
a real RabbitMQ and Postgres, each with the rights that it has in production: three database users with
the roles that the migration creates, and workers without a database URL.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from psycopg2 import sql
from sqlalchemy import Engine, Table, select

from shared.errors import StoreUnavailable
from shared.store.engine import open_engine, transaction
from shared.store.migrate import migrate
from tests.harness.client import Client
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer

__all__ = [
    "Cluster",
    "Deployment",
    "Embedded",
    "descendants",
    "everything_below",
    "give_roles",
    "gone",
    "new_database",
    "pid_in",
    "running",
]

_SECRET_KEYS = {"DAGWAY_SECRET_KEYS": f"tests={'k' * 32}"}
"""Seals stored secrets, in all gateways and workers."""
_count = itertools.count(1)


class Deployment:
    """The base of ``Embedded`` and ``Cluster``: processes, a client, and reading the database."""

    name = ""

    def __init__(self, folder: Path, lease_s: float) -> None:
        self.folder = folder
        self.settings = {"DAGWAY_LEASE_S": f"{lease_s:g}", "DAGWAY_LOG_FORMAT": "text"}
        self.gateways: list[DagwayProcess] = []
        self.schedulers: list[DagwayProcess] = []
        self.workers: list[DagwayProcess] = []
        self._doors: dict[DagwayProcess, str] = {}
        self.client = Client([])
        self._engine: Engine | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def store_url(self) -> str:
        """The database URL with which the test itself reads the database."""
        raise RuntimeError(type(self).__name__)

    @property
    def engine(self) -> Engine:
        """A read-only engine on the system's database."""
        if self._engine is None:
            self._engine = open_engine(self.store_url, read_only=True)
        return self._engine

    @property
    def processes(self) -> list[DagwayProcess]:
        """All processes, in the order of their start."""
        return list(dict.fromkeys([*self.schedulers, *self.gateways, *self.workers]))

    def ready(self, process: DagwayProcess) -> DagwayProcess:
        """Wait until a process is ready."""
        return process.wait_ready(self._doors[process])

    def start(self, *processes: DagwayProcess) -> Self:
        """Start these processes, or all that do not run, and wait until they are ready."""
        chosen = processes or [process for process in self.processes if not process.running]
        for process in chosen:
            process.start()
        for process in chosen:
            self.ready(process)
        return self

    def stop(self) -> list[int]:
        """Stop all processes by SIGTERM, and return their exit codes."""
        return [process.terminate() for process in reversed(self.processes) if process.running]

    def kill9(self) -> None:
        """Kill all processes by SIGKILL."""
        for process in self.processes:
            process.kill9()

    def rows(self, table: Table, **where: Any) -> list[dict[str, Any]]:
        """Return the rows of a query; waits while the database is unreachable."""
        query = select(table).where(*[table.c[name] == value for name, value in where.items()])

        def read() -> list[dict[str, Any]]:
            try:
                with transaction(self.engine) as connection:
                    return [dict(row) for row in connection.execute(query).mappings()]
            except StoreUnavailable as error:
                raise AssertionError(str(error)) from error

        return eventually(read)

    def close(self) -> None:
        """End all processes; kill those that are still running."""
        self.client.close()
        if self._engine is not None:
            self._engine.dispose()
        for process in reversed(self.processes):
            process.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Embedded(Deployment):
    """One ``dagway up`` with its own data directory. ``env`` adds settings; for the rest see ``DagwayProcess``."""

    name = "embedded"

    def __init__(
        self,
        folder: Path,
        *,
        lease_s: float = 10,
        env: Mapping[str, str] | None = None,
        program: Path | None = None,
        user: int | None = None,
    ) -> None:
        super().__init__(folder, lease_s)
        port = free_port()
        self.data_dir = folder / "data"
        settings = self.settings | {"DAGWAY_DATA_DIR": str(self.data_dir), "DAGWAY_PORT": str(port), **(env or {})}
        self.process = DagwayProcess("up", folder=folder, env=settings, program=program, user=user)
        self._doors[self.process] = f"http://127.0.0.1:{port}/readyz"
        self.gateways = self.schedulers = self.workers = [self.process]
        self.client = Client([port])

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.data_dir}/dagway.db"


class Cluster(Deployment):
    """Gateways, schedulers and workers, each as a process.

    Args:
        folder: the folder for logs and work files.
        rabbit, postgres: running servers, on which a new vhost and a new database are created.
        amqp_url: a broker URL to use instead of a new vhost.
        amqp_urls: a broker URL for each service (``api``, ``scheduler``, ``worker``), to use instead of a new vhost.
        program: the ``dagway`` of another installation, see ``DagwayProcess``.
    """

    name = "distributed"

    def __init__(
        self,
        folder: Path,
        rabbit: RabbitServer,
        postgres: PostgresServer,
        *,
        gateways: int = 1,
        schedulers: int = 1,
        workers: int = 1,
        lease_s: float = 10,
        amqp_url: str = "",
        amqp_urls: Mapping[str, str] | None = None,
        program: Path | None = None,
    ) -> None:
        super().__init__(folder, lease_s)
        self.rabbit, self.postgres = rabbit, postgres
        self._program = program
        self._vhost = "" if amqp_urls or amqp_url else rabbit.create_vhost()
        self.amqp_urls = amqp_urls or dict.fromkeys(("api", "scheduler", "worker"), amqp_url or self._vhost)
        self.amqp_url = self.amqp_urls["scheduler"]
        self.urls = new_database(postgres)
        self._migrate()
        self.ports = [free_port() for _ in range(gateways)]
        for number, port in enumerate(self.ports):
            self.gateways.append(self.gateway(number, port))
        for number in range(schedulers):
            self.schedulers.append(self.scheduler(f"scheduler-{number + 1}"))
        for number in range(workers):
            self.workers.append(self.worker(f"w{number + 1}"))
        self.client = Client(self.ports)

    @property
    def store_url(self) -> str:
        return self.urls["owner"]

    def close(self) -> None:
        super().close()
        if self._vhost:
            self.rabbit.release_vhost(self._vhost)
            self._vhost = ""

    def _migrate(self) -> None:
        if self._program is None:
            migrate(self.urls["owner"])
        else:
            env = {"DAGWAY_DATABASE_URL": self.urls["owner"]}
            with DagwayProcess("migrate", folder=self.folder, env=env, program=self._program) as process:
                assert process.wait_exit() == 0, process.output()
        give_roles(self.postgres, self.urls)

    def gateway(self, number: int, port: int, **env: str) -> DagwayProcess:
        """Create a gateway on a port, without starting it."""
        settings = {
            "DAGWAY_DATABASE_URL": self.urls["api"],
            "DAGWAY_AMQP_URL": self.amqp_urls["api"],
            "DAGWAY_PORT": str(port),
            **_SECRET_KEYS,
        }
        process = self._process("api", f"api-{number + 1}", settings | env)
        self._doors[process] = f"http://127.0.0.1:{port}/readyz"
        return process

    def scheduler(self, name: str, **env: str) -> DagwayProcess:
        """Create a scheduler, without starting it."""
        settings = {"DAGWAY_DATABASE_URL": self.urls["scheduler"], "DAGWAY_AMQP_URL": self.amqp_urls["scheduler"]}
        return self._with_door(self._process("scheduler", name, self.settings | settings | env))

    def worker(self, worker_id: str, **env: str) -> DagwayProcess:
        """Create a worker, without starting it."""
        settings = {
            "DAGWAY_AMQP_URL": self.amqp_urls["worker"],
            "DAGWAY_WORKER_ID": worker_id,
            "DAGWAY_WORKER_SLOTS": "20",
            **_SECRET_KEYS,
        }
        return self._with_door(self._process("worker", worker_id, self.settings | settings | env))

    def _process(self, command: str, name: str, env: Mapping[str, str]) -> DagwayProcess:
        common = {"DAGWAY_LOG_FORMAT": "text", "DAGWAY_DATA_DIR": str(self.folder / name)}
        settings = {**common, **env}
        return DagwayProcess(command, folder=self.folder / name, env=settings, name=name, program=self._program)

    def _with_door(self, process: DagwayProcess) -> DagwayProcess:
        port = free_port()
        process.env["DAGWAY_METRICS_PORT"] = str(port)
        self._doors[process] = f"http://127.0.0.1:{port}/readyz"
        return process


def new_database(postgres: PostgresServer) -> dict[str, str]:
    """Create an empty database; return the URLs for its owner, its schedulers and its gateways."""
    number = next(_count)
    owner = sql.Identifier(f"owner_{number}")
    name = f"dagway_{number}"
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(owner))
    postgres.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), owner))
    parts = urlsplit(postgres.database_url(name))
    users = {"owner": f"owner_{number}", "scheduler": f"scheduler_{number}", "api": f"api_{number}"}
    return {
        use: urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}")) for use, user in users.items()
    }


def give_roles(postgres: PostgresServer, urls: Mapping[str, str]) -> None:
    """Create the database users in ``urls``, with the roles that the migration has created."""
    for role, url in (("dagway_scheduler", urls["scheduler"]), ("dagway_api", urls["api"])):
        user = sql.Identifier(str(urlsplit(url).username))
        postgres.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(user, sql.Identifier(role)))


def running(rabbit: RabbitServer, postgres: PostgresServer) -> tuple[RabbitServer, PostgresServer]:
    """Return the system after starting every process that another test has stopped."""
    for server in (rabbit, postgres):
        if not server.running:
            server.start()
    return rabbit, postgres


def gone(pid: int) -> bool:
    """Whether no process has this id, or only a zombie has it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def everything_below(folder: Path) -> Iterator[Path]:
    """Yield all files and folders below a folder. ``rglob`` fails if one of the folders is removed meanwhile."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))


def pid_in(path: Path) -> int:
    """Wait for a step to write its process id to a file, and return it."""

    def written() -> int:
        assert path.exists(), f"no {path}"
        text = path.read_text()
        assert text.endswith("\n"), f"{path} is empty"
        return int(text.split()[-1])

    return eventually(written)


def descendants(pid: int) -> Iterator[int]:
    """Yield the ids of all descendants of process ``pid``."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        children: list[str] = []
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            children = task.read_text().split()
        for child in children:
            yield int(child)
            yield from descendants(int(child))
