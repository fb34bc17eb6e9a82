"""``python -m bench.workspace_policies``: what the policies of workspaces cost a gateway's reads (ADR 58).

On the history of ``bench.systems.history``. Sends the same reads by turns with the policies and without them, and
prints the CPU time of gateway and database together for each request: it depends less on other work on the machine
than latencies do.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

from sqlalchemy import Engine, text

from bench.measuring.http_load import paced
from bench.measuring.processes import thread_s
from bench.systems.history import aged
from shared.store.engine import open_engine, transaction
from tests.harness.cluster import descendants

_RATE = 20
_READS: dict[str, list[str]] = {
    "list of runs (1000)": ["/dag-runs"],
    "page of runs (100)": ["/dag-runs?cursor="],
    "details, 1000 runs": [f"/dag-runs/dag-{1 + n}/id-{n}" for n in range(1, 1001)],
    "page of dags (50)": ["/dags?page=3"],
    "dag details": ["/dags/dag-8"],
    "history of a dag": ["/dags/dag-8/dag-runs"],
    "queues": ["/queues"],
}


def _switch(engine: Engine, *, on: bool) -> None:
    with transaction(engine) as connection:
        tables = connection.execute(text("SELECT DISTINCT tablename FROM pg_policies")).scalars().all()
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} {'ENABLE' if on else 'DISABLE'} ROW LEVEL SECURITY")


def _cpu_ms(pid: int) -> float:
    """Return the CPU time of a process and its living children. Finer than ``cpu_s``: few requests."""
    processes = (pid, *descendants(pid))
    return sum(thread_s(each) for one in processes for each in Path(f"/proc/{one}/task").iterdir()) * 1000


def _cost_ms(port: int, pids: Sequence[int], paths: Sequence[str], seconds: float) -> float:
    before_ms = sum(map(_cpu_ms, pids))
    found = paced(port, [f"/api/v2{path}" for path in paths], rate=_RATE, seconds=seconds)
    return (sum(map(_cpu_ms, pids)) - before_ms) / (found.rate * seconds)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="seconds for each turn of a read")
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    with aged() as dagway:
        pids = [dagway.pids["gateway"], dagway.pids["database"]]
        engine = open_engine(dagway.database_url)
        costs: dict[tuple[str, bool], list[float]] = {}
        for paths in _READS.values():
            paced(dagway.port, [f"/api/v2{path}" for path in paths], rate=_RATE, seconds=1)  # they fill caches
        for turn in range(2 * asked.turns):
            _switch(engine, on=turn % 2 == 0)
            for what, paths in _READS.items():
                found = _cost_ms(dagway.port, pids, paths, asked.seconds)
                costs.setdefault((what, turn % 2 == 0), []).append(found)
        engine.dispose()
        print(f"CPU ms per request, median of {asked.turns} turns, load {os.getloadavg()[0]:.1f}")
        ratios = []
        for what in _READS:
            without, limited = median(costs[what, False]), median(costs[what, True])
            ratios.append(limited / without)
            print(f"  {what:24} {without:6.2f} without, {limited:6.2f} with: {limited / without - 1:+.1%}")
        print(f"  mean of the reads {mean(ratios) - 1:+.1%}")


if __name__ == "__main__":
    main()
