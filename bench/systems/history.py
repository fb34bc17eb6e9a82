"""A Dagway with a long history: runs of 5,000 DAGs in Postgres, with a gateway and a scheduler."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import urllib3
from sqlalchemy import create_engine, text

from shared.store.migrate import migrate
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer

__all__ = ["DAGS", "RUNS", "THREADS", "Aged", "aged", "fill"]

RUNS, DAGS, THREADS = 200_000, 5_000, 40

_RUNS = [
    "INSERT INTO specs VALUES (:hash, :yaml, now())",
    """INSERT INTO dags (file_name, dag_name, spec_hash, version, summary, tags, errors, judged_by, created_at,
         updated_at)
       SELECT 'dag-' || n, 'dag-' || n, :hash, 1, json_build_object('name', 'dag-' || n),
         json_build_array('t' || n % 20), '[]', :version, now(), now()
       FROM generate_series(1, :dags) n""",
    """INSERT INTO dag_versions (file_name, version, spec_hash, at, by)
       SELECT 'dag-' || n, 1, :hash, now(), '' FROM generate_series(1, :dags) n""",
    """INSERT INTO dag_runs (run_key, dag_name, dag_run_id, file_name, spec_hash, status, version, last_seq,
         run_attempt, queue, given, params, env, created_at, started_at, finished_at)
       SELECT 'run-' || n, 'dag-' || 1 + n % :dags, 'id-' || n, 'dag-' || 1 + n % :dags, :hash,
         (ARRAY['succeeded', 'succeeded', 'succeeded', 'failed'])[1 + n % 4], 5, 4, 1, 'dag-' || 1 + n % :dags, '',
         '[]', '[]', now() - (:runs - n) * interval '1 second', now(), now()
       FROM generate_series(1, :runs) n""",
]
_STEPS = [
    """INSERT INTO nodes (run_key, idx, kind, name, status, number, retry_count, done_count, error, stdout, stderr,
         outputs, started_at, finished_at)
       SELECT 'run-' || n, i, 'step', 's' || i, 'succeeded', 1, 0, 1, '', '', '', '{}', now(), now()
       FROM generate_series(1, :runs) n, generate_series(0, 1) i""",
]
_DONE = [
    "CREATE ROLE bench_api LOGIN IN ROLE dagway_api",
    "ANALYZE",
]


def fill(url: str, runs: int, *, steps: bool = True) -> None:
    """Write a history of so many runs into a new database, each with two ``steps`` or none."""
    spec = "steps:\n  - name: s0\n    command: echo hi\n  - name: s1\n    command: echo hi\n"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    for statement in [*_RUNS, *(_STEPS if steps else ()), *_DONE]:
        values = {"hash": "0" * 64, "yaml": spec, "version": version("dagway"), "dags": DAGS, "runs": runs}
        with engine.begin() as connection:
            connection.execute(
                text(statement), {name: value for name, value in values.items() if f":{name}" in statement}
            )
    engine.dispose()


@dataclass(frozen=True, slots=True)
class Aged:
    """A running Dagway with a long history.

    ``port`` is the gateway's port. ``pids`` are the processes that take part in a command, the gateway first.
    """

    amqp_url: str
    database_url: str
    port: int
    pids: dict[str, int]

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2"


@contextmanager
def aged(runs: int = RUNS) -> Iterator[Aged]:
    """Start a Dagway with a history of ``runs`` runs, and yield it before it has served any request."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-bench-")))
        home.chmod(0o755)
        rabbit = stack.enter_context(RabbitServer())
        postgres = stack.enter_context(PostgresServer(fsync=True))
        url = postgres.create_database()
        migrate(url)
        fill(url, runs)
        port = free_port()
        env = {
            "DAGWAY_AMQP_URL": rabbit.url,
            "DAGWAY_LOG_LEVEL": "warning",
            "DAGWAY_DATABASE_URL": url,
            "DAGWAY_API_THREADS": str(THREADS),
        }
        scheduler = stack.enter_context(DagwayProcess("scheduler", folder=home / "s", env=env))
        # Its own user, because policies limit neither a superuser nor the scheduler's.
        of_gateway = {"DAGWAY_PORT": str(port), "DAGWAY_DATABASE_URL": url.replace("postgres@", "bench_api@")}
        gateway = stack.enter_context(DagwayProcess("api", folder=home / "g", env=env | of_gateway))
        gateway.wait_ready(f"http://127.0.0.1:{port}/api/v2/health", timeout_s=60)
        http = urllib3.PoolManager(retries=False)
        schedulers = f"http://127.0.0.1:{port}/api/v2/services/scheduler"
        eventually(lambda: bool(http.request("GET", schedulers).json()["schedulers"]), timeout_s=60)
        pids = {"gateway": gateway.pid, "scheduler": scheduler.pid, "broker": rabbit.pid, "database": postgres.pid}
        yield Aged(rabbit.url, url, port, pids)
