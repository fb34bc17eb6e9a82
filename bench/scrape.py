"""``python -m bench.scrape [DAGS]``: the cost of a scrape of each service, and the number of series."""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import generate_latest

from services.api.assembly import build_deps
from services.api.observability.request_metrics import DaguCollector
from services.api.settings import Settings
from services.scheduler.deciding.post_commit import EndedRun, PostCommit
from services.scheduler.metrics import BacklogCollector, count, limit_dag_series
from services.worker.reporting.metrics import WorkerCollector, WorkerFacts
from shared.admin_server import admin_registry
from shared.clock import utc_now
from shared.disk import Volume
from shared.metrics import ProcessCollector
from shared.status import RunStatus
from shared.store import tables as t
from shared.store.engine import open_engine, transaction
from shared.store.migrate import migrate
from shared.store.reads.backlog import BacklogReads
from shared.store.reads.dags import DagReads
from shared.store.reads.reader import Reads
from shared.transport.open import open_transport

__all__ = ["main"]

_ROUNDS = 5


_IDLE = WorkerFacts({}, slots=100, busy=0, draining=False, spooled=0, trouble="")


def _cost(name: str, page: Callable[[], bytes]) -> None:
    took = []
    size = series = 0
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        body = page()
        took.append((time.perf_counter() - began) * 1000)
        size, series = len(body), sum(1 for line in body.splitlines() if line and not line.startswith(b"#"))
    print(f"{name:34} first {took[0]:8.1f} ms, then {min(took[1:]):6.1f} ms  {series:7} series {size / 1024:8.0f} KiB")


def main(dags: int) -> None:
    """Measure with the default limit of DAG series, and without a limit."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        migrate(url)
        engine = open_engine(url)
        now = datetime(2026, 3, 1, tzinfo=UTC)
        ended = now + timedelta(seconds=9)
        with transaction(engine) as connection:
            connection.execute(t.specs.insert(), [{"hash": "h", "yaml": "", "created_at": now}])
            fixed = {
                "spec_hash": "h", "version": 1, "last_seq": 1, "run_attempt": 1, "given": "", "params": [], "env": [],
                "created_at": now, "queued_at": now, "started_at": now, "finished_at": ended, "error": "",
            }  # fmt: skip
            rows = [
                {**fixed, "run_key": f"{number}-{status}", "dag_name": f"dag-{number}", "dag_run_id": f"{status}"}
                | {"status": status, "queue": f"dag-{number}"}
                for number in range(dags)
                for status in ("succeeded", "failed")
            ]
            connection.execute(t.dag_runs.insert(), rows)
        transport = open_transport("embedded:", name="bench")
        process = ProcessCollector("bench", "0", transport, Volume(Path(folder)))
        _cost("worker", lambda: generate_latest(admin_registry([process, WorkerCollector(lambda: _IDLE)])))
        for limit in (200, dags):
            limit_dag_series(limit)
            names = (f"dag-{number}" for number in range(dags))
            runs = [EndedRun("k", name, "r", RunStatus.SUCCEEDED, is_root=True, lasted_s=1) for name in names]
            count(PostCommit(ended=runs))
            backlog = BacklogCollector(BacklogReads(engine).backlog, DagReads(engine).specs, utc_now)
            scheduler = admin_registry([process, backlog])
            _cost(f"scheduler, {dags} dags, limit {limit}", lambda page=scheduler: generate_latest(page))  # type: ignore[misc]
            deps = build_deps(
                transport=transport,
                reads=Reads(engine),
                version="0",
                settings=Settings(data_dir=Path(folder)),
                max_dag_series=limit,
            )
            gateway = admin_registry([process, DaguCollector(deps)])
            _cost(f"gateway, {dags} dags, limit {limit}", lambda page=gateway: generate_latest(page))  # type: ignore[misc]
            deps.closing.set()
        transport.close()
        engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
