"""``python -m bench.long_history [RUNS]``: what a long history in Postgres costs a gateway's ``/metrics``.

Times the first ``/metrics`` of a gateway before and after a scheduler has kept totals, and the scheduler's counting.
By default there are 10,000,000 runs of 5,000 DAGs, which take 10 GB of disk and some minutes. The server does not sync
to disk.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import generate_latest
from sqlalchemy import Engine, text

from bench.systems.history import fill
from services.api.assembly import build_deps
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

_UNREAD = (
    "ix_dag_runs_created",
    "ix_dag_runs_status_created",
    "ix_dag_runs_dag_roots",
    "ix_dag_runs_not_succeeded",
    "uq_dag_runs_id",
)
"""Indexes that no metric reads: without them the rows are made in a third of the time."""


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began, began_own = time.perf_counter(), time.process_time()
    yield
    took, own = time.perf_counter() - began, time.process_time() - began_own
    print(f"{what:66} {took:9.3f} s, of this process's CPU time {own:6.3f} s", flush=True)


def _first_page(url: str, what: str) -> None:
    transport = open_transport("embedded:", name="bench")
    deps = build_deps(
        transport=transport, reads=Reads(open_engine(url, read_only=True)), version="0", settings=Settings()
    )
    deps.reads.schema()  # opens the connection
    with _timed(what):
        generate_latest(admin_registry([DaguCollector(deps)]))
    deps.closing.set()
    transport.close()


def _measure(engine: Engine, url: str, runs: int) -> None:
    with engine.begin() as connection:
        for index in _UNREAD:
            connection.execute(text(f"DROP INDEX {index}"))
    with _timed(f"made {runs} runs"):
        fill(url, runs, steps=False)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM dag_runs"))
    _first_page(url, "first /metrics, no totals kept: counts the history")
    with _timed("a scheduler counts the history, once in the life of a database"):
        TotalsKeeper(Store(engine)).keep()
    with _timed("a scheduler adds what has changed"):
        TotalsKeeper(Store(engine)).keep()
    _first_page(url, "first /metrics, from kept totals")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.long_history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=int, nargs="?", default=10_000_000)
    asked = parser.parse_args()
    with PostgresServer() as server:
        url = server.create_database()
        migrate(url)
        engine = open_engine(url)
        _measure(engine, url, asked.runs)
        engine.dispose()


if __name__ == "__main__":
    main()
