"""``python -m bench.long_history [metrics|logs] [ROWS]``: what a long history costs on Postgres.

metrics  the first ``/metrics`` of a gateway, before and after a scheduler has kept totals, with ROWS runs of 5,000 DAGs
logs     ROWS rows of logs, of which a tenth goes: deleted run by run, as retention does, and dropped as a partition

By default ROWS is 10,000,000, which takes 10 GB of disk and some minutes. The server does not sync to disk.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import generate_latest
from sqlalchemy import Engine, text

from services.api.main import build_deps
from services.api.observability.request_metrics import DaguCollector
from services.api.settings import Settings
from services.scheduler.loops.run_totals import TotalsKeeper
from shared.admin_server import admin_registry
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.reads.reader import Reads
from shared.store.writes.transaction import Store
from shared.transport.open import open_transport
from tests.harness.servers import PostgresServer

_STEP = 500_000
_DAGS = 5_000
_CHUNKS_OF_A_RUN = 10
_RUNS_AT_ONCE = 100
_UNREAD = ("ix_dag_runs_created", "ix_dag_runs_status_created", "ix_dag_runs_dag_created", "ix_dag_runs_id")
"""Indexes that no metric reads: without them the rows are made in a third of the time."""

_RUNS = """
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, file_name, spec_hash, status, version, last_seq, run_attempt,
        queue, given, params, env, created_at, queued_at, started_at, finished_at)
    SELECT 'run-' || n, 'dag-' || n % :dags, 'id-' || n, 'dag-' || n % :dags, 'h',
        (ARRAY['succeeded', 'succeeded', 'succeeded', 'failed'])[1 + n % 4], 5, 4, 1, 'dag-' || n % :dags, '', '[]',
        '[]', at, at, at + interval '1 second', at + n % 900 * interval '1 second'
    FROM (SELECT n, now() - n * interval '1 second' AS at FROM generate_series(:first, :last) n) each"""
_CHUNKS = """
    INSERT INTO {table} SELECT 'token-' || n, 'stdout', 0, 'run-' || n / :of_a_run, n % :of_a_run, 1, 1, 0, 3,
        convert_to(repeat(md5(n::text), 6), 'UTF8'), now() FROM generate_series(:first, :last) n"""


@contextmanager
def _database() -> Iterator[Engine]:
    with PostgresServer() as server:
        url = server.create_database()
        migrate(url)
        engine = open_engine(url)
        yield engine
        engine.dispose()


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began, began_own = time.perf_counter(), time.process_time()
    yield
    took, own = time.perf_counter() - began, time.process_time() - began_own
    print(f"{what:66} {took:9.3f} s, of this process's CPU time {own:6.3f} s", flush=True)


def _fill(engine: Engine, statement: str, rows: range, **values: object) -> None:
    for first in range(rows.start, rows.stop, _STEP):
        with engine.begin() as connection:
            last = min(first + _STEP, rows.stop) - 1
            connection.execute(text(statement), {"first": first, "last": last, **values})


def _execute(engine: Engine, *statements: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))


def metrics(engine: Engine, runs: int) -> None:
    """Measure the first answer to ``/metrics`` of two gateways."""
    _execute(engine, "INSERT INTO specs VALUES ('h', 'steps: []', now())")
    _execute(engine, *(f"DROP INDEX {name}" for name in (*_UNREAD, "uq_dag_runs_name")))
    with _timed(f"made {runs} runs"):
        _fill(engine, _RUNS, range(runs), dags=_DAGS)
    _execute(engine, "VACUUM ANALYZE dag_runs")

    def first_page(what: str) -> None:
        transport = open_transport("embedded:", name="bench")
        deps = build_deps(
            transport=transport,
            reads=Reads(open_engine(engine.url.render_as_string(hide_password=False), read_only=True)),
            version="0",
            settings=Settings(),
        )
        deps.reads.schema()  # opens the connection
        with _timed(what):
            generate_latest(admin_registry([DaguCollector(deps)]))
        deps.closing.set()
        transport.close()

    first_page("first /metrics, no totals kept: counts the history")
    with _timed("a scheduler counts the history, once in the life of a database"):
        TotalsKeeper(Store(engine)).keep()
    with _timed("a scheduler adds what has changed"):
        TotalsKeeper(Store(engine)).keep()
    first_page("first /metrics, from kept totals")


def logs(engine: Engine, rows: int) -> None:
    """Measure how long it takes to be rid of a tenth of the rows of logs."""
    old = rows // 10
    with _timed(f"made {rows} rows of logs"):
        _fill(engine, _CHUNKS.format(table="log_chunks"), range(rows), of_a_run=_CHUNKS_OF_A_RUN)
    _execute(engine, "VACUUM ANALYZE log_chunks")
    with _timed(f"deleted {old} rows, {_RUNS_AT_ONCE} runs at once"):
        for first in range(0, old // _CHUNKS_OF_A_RUN, _RUNS_AT_ONCE):
            keys = [f"run-{number}" for number in range(first, first + _RUNS_AT_ONCE)]
            with Store(engine).begin() as tx:
                tx.runs.delete(keys)
    with _timed("vacuum"):
        _execute(engine, "VACUUM log_chunks")
    _execute(
        engine,
        "CREATE TABLE parted (LIKE log_chunks INCLUDING DEFAULTS) PARTITION BY RANGE (at)",
        "CREATE TABLE parted_old PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2099-01-01')",
        "CREATE UNIQUE INDEX ON parted (token, stream, seq, at)",
        "CREATE INDEX ON parted (run_key, node, run_attempt, stream, number, seq)",
    )
    _fill(engine, _CHUNKS.format(table="parted"), range(old), of_a_run=_CHUNKS_OF_A_RUN)
    with _timed(f"dropped a partition of {old} rows"):
        _execute(engine, "ALTER TABLE parted DETACH PARTITION parted_old CONCURRENTLY", "DROP TABLE parted_old")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.long_history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["metrics", "logs"], nargs="?", default="metrics")
    parser.add_argument("rows", type=int, nargs="?", default=10_000_000)
    asked = parser.parse_args()
    with _database() as engine:
        {"metrics": metrics, "logs": logs}[asked.what](engine, asked.rows)


if __name__ == "__main__":
    main()
