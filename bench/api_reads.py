"""``python -m bench.api_reads``: latency of reads with a long history in Postgres.

The history has 1,000,000 runs of 5,000 DAGs (``bench.systems.history``). Prints the plan of each query, and the p99
latency of lists and details at 100 requests/s.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import event

from bench.measuring.http_load import paced
from bench.measuring.processes import cpu_s
from bench.systems.history import DAGS, aged
from shared.store.engine import open_engine
from shared.store.reads.reader import Reads

__all__ = ["HISTORY", "RATE", "measure_reads"]

RATE = 100
"""Requests a second."""
HISTORY = 1_000_000
"""Runs."""
_NOW = int(time.time())
_READS: dict[str, list[str]] = {
    "list of runs (1000)": ["/dag-runs"],
    "the same by cursor (limit=1000)": ["/dag-runs?cursor=&limit=1000"],
    "page of runs (100)": ["/dag-runs?cursor="],
    "runs by status (1000)": ["/dag-runs?status=2"],
    "runs by a status without runs": ["/dag-runs?status=3"],
    "runs by name, 1000 names": [f"/dag-runs?name=dag-{n}" for n in range(1000)],
    "runs of one dag": ["/dag-runs/dag-7"],
    "runs between dates, 1000 of 40,000": [
        f"/dag-runs?fromDate={_NOW - n * 1000 - 1000}&toDate={_NOW - n * 1000}" for n in range(40)
    ],
    "details, 1000 runs": [f"/dag-runs/dag-{1 + n % DAGS}/id-{n}" for n in range(997, HISTORY, 997)],
    "page of dags (50)": ["/dags?page=3"],
    "page of dags (200), descending": ["/dags?perPage=200&order=desc"],
    "dags by next run": ["/dags?sort=nextRun"],
    "dags by tag": ["/dags?tag=t7"],
    "dags by part of a name": ["/dags?name=AG-12"],
    "dag details": ["/dags/dag-8"],
    "history of a dag": ["/dags/dag-8/dag-runs"],
    "queues": ["/queues"],
}


def _explain(url: str) -> None:
    """Print the query plan of every SQL statement that the measured reads execute."""
    engine = open_engine(url, read_only=True)
    seen: list[tuple[str, object]] = []
    event.listen(
        engine, "before_cursor_execute", lambda _c, _cur, statement, values, *_: seen.append((statement, values))
    )
    reads = Reads(engine)
    questions: dict[str, Callable[[], object]] = {
        "list of runs": reads.runs,
        "list of one dag's runs": lambda: reads.runs(dag_name="dag-7"),
        "page of runs": lambda: reads.runs(limit=101),
        "details": lambda: reads.run("dag-8", "id-7"),
        "latest": lambda: reads.run("dag-8", "latest"),
        "page of dags": lambda: reads.dag_page(page=3),
        "their newest runs": lambda: reads.latest_runs(f"dag-{n}" for n in range(50)),
        "history of a dag": lambda: reads.recent_runs("dag-8"),
        "newest place": reads.newest_place,
    }
    for name, ask in questions.items():
        seen.clear()
        ask()
        sent, seen[:] = tuple(seen), []
        for statement, values in sent:
            with engine.connect() as connection:
                plan = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN ANALYZE {statement}", values)]  # type: ignore[arg-type]
            scans = [line.strip().split("  (")[0].lstrip("-> ") for line in plan if "Scan" in line]
            print(f"  {name}: {', '.join(scans)}; {plan[-1].strip()}")
    engine.dispose()


def measure_reads(seconds: float, *, explained: bool = False) -> Iterator[dict[str, Any]]:
    """Yield p50, p99 and CPU time, in milliseconds, of each read. ``explained``: print the plans first."""
    with aged(HISTORY) as dagway:
        if explained:
            print("plans")
            _explain(dagway.database_url)
        for what, paths in _READS.items():
            began_s = cpu_s(dagway.pids["gateway"])
            found = paced(dagway.port, [f"/api/v2{path}" for path in paths], rate=RATE, seconds=seconds)
            core_ms = (cpu_s(dagway.pids["gateway"]) - began_s) * 1000 / (found.rate * seconds)
            measured = {"read": what, "p50": found.p50_ms, "p99": found.p99_ms, "worst": found.worst_ms}
            took = f"p50 {found.p50_ms:7.1f} ms  p99 {found.p99_ms:7.1f} ms  worst {found.worst_ms:7.1f} ms"
            print(f"  {what:34} {took}  {core_ms:6.2f} CPU ms per request", flush=True)
            yield {**measured, "core_ms": core_ms}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="seconds for each read")
    seconds = parser.parse_args().seconds
    print(f"{RATE} requests/s for {seconds:g} s each, {HISTORY} runs, {DAGS} dags, load {os.getloadavg()[0]:.1f}")
    list(measure_reads(seconds, explained=True))


if __name__ == "__main__":
    main()
