"""``python -m bench.recovery [--times N]``: how long a distributed system needs to go on after a fault, as JSON.

worker killed -> step decided            a step without ``retryPolicy`` fails as lost; includes the lease
scheduler killed -> next transition      of each of eight runs, whichever scheduler had it; one other scheduler runs
broker back -> first dispatch            until a worker begins a step; from the moment at which the broker accepts
                                         connections, after 3 s away
database back -> next transition         from the moment at which the database answers, after 3 s away
cluster node lost -> next dispatch       until a worker begins a step; the broker node that leads the queue of tasks is
                                         killed, one of three

p50 and p99 of N times each, in seconds. With few values p99 is the greatest.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.clock import utc_now
from shared.store import tables as t
from shared.transport.base import task_queue
from tests.harness.broker_users import PASSWORDS, write_definitions
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually
from tests.harness.servers import PostgresServer, RabbitCluster, RabbitServer

Summaries = dict[str, dict[str, float]]

_LEASE_S = 10.0
_AWAY_S = 3.0
_RUNS = 8
_LIMIT_S = 120.0
_LONG = "steps:\n  - name: long\n    command: sleep 600\n"
_TICKING = "steps:\n" + "".join(f"  - name: s{number}\n    command: sleep 0.2\n" for number in range(200))


class _Bench:
    """The measurements on one system. Each uses new runs and leaves none running."""

    def __init__(self, system: Cluster) -> None:
        self._system = system
        self._number = 0
        system.client.create("long", _LONG)
        system.client.create("ticking", _TICKING)

    def worker_killed(self) -> float:
        run_id = self._start("long")
        self._system.client.until_step("running", "long", run_id, "long")
        holder = self._system.client.run("long", run_id)["workerId"]
        worker = next(one for one in self._system.workers if one.env["DAGWAY_WORKER_ID"] == holder)
        worker.kill9()
        killed = utc_now()
        self._system.client.until("failed", "long", run_id, timeout_s=_LIMIT_S)
        (run,) = self._system.rows(t.dag_runs, dag_name="long", dag_run_id=run_id)
        self._system.start(worker)
        ended: datetime = run["finished_at"]
        return (ended - killed).total_seconds()

    def scheduler_killed(self) -> float:
        runs = self._ticking(_RUNS)
        victim = self._system.schedulers[self._number % len(self._system.schedulers)]
        victim.kill9()
        slowest = self._next(t.transitions, "at", runs, utc_now())
        self._stop(runs)
        self._system.start(victim)
        return slowest

    def broker_back(self) -> float:
        runs = self._ticking(1)
        self._system.rabbit.kill()
        time.sleep(_AWAY_S)
        self._system.rabbit.start()
        took = self._next(t.attempts, "started_at", runs, utc_now())
        self._stop(runs)
        return took

    def node_lost(self, broker: RabbitCluster) -> float:
        runs = self._ticking(1)
        lost = broker.home_of(task_queue({}).name)
        lost.kill()
        took = self._next(t.attempts, "started_at", runs, utc_now())
        lost.start()
        self._stop(runs)
        return took

    def database_back(self) -> float:
        runs = self._ticking(1)
        self._system.postgres.kill()
        time.sleep(_AWAY_S)
        self._system.postgres.start()
        took = self._next(t.transitions, "at", runs, utc_now())
        self._stop(runs)
        return took

    def _start(self, dag: str) -> str:
        self._number += 1
        run_id = f"r{self._number}"
        self._system.client.start(dag, run_id, key=f"{dag}-{run_id}")
        return run_id

    def _ticking(self, count: int) -> dict[str, str]:
        """Start runs and return their ids by their keys, as soon as each has a step behind it."""
        ids = {self._start("ticking") for _ in range(count)}
        for run_id in ids:
            self._system.client.until_step("succeeded", "ticking", run_id, "s0", timeout_s=_LIMIT_S)
        rows = self._system.rows(t.dag_runs, dag_name="ticking")
        return {row["run_key"]: row["dag_run_id"] for row in rows if row["dag_run_id"] in ids}

    def _next(self, table: Any, column: str, runs: dict[str, str], since: datetime) -> float:
        """Wait until each run has a row that is later than ``since``; return how much later the last of these is."""

        def found() -> float:
            firsts: list[datetime] = []
            for key in runs:
                times = [row[column] for row in self._system.rows(table, run_key=key)]
                later = [at for at in times if at is not None and at > since]
                assert later, f"nothing after {since}"
                firsts.append(min(later))
            return (max(firsts) - since).total_seconds()

        return eventually(found, timeout_s=_LIMIT_S)

    def _stop(self, runs: dict[str, str]) -> None:
        client = self._system.client
        for run_id in runs.values():
            client.insist("POST", f"/dag-runs/ticking/{run_id}/stop", key=f"stop-{run_id}", timeout_s=_LIMIT_S)

        def over() -> bool:
            return not self._system.rows(t.dag_runs, dag_name="ticking", status="running")

        eventually(over, timeout_s=_LIMIT_S)


def _summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"p50": round(statistics.median(ordered), 3), "p99": round(p99, 3), "times": len(ordered)}


def measure(system: Cluster, times: int) -> Summaries:
    """Return p50 and p99, in seconds, of each time to recovery of a system with one broker."""
    bench = _Bench(system)
    return _measured(
        times,
        {
            "worker killed -> step decided": bench.worker_killed,
            "scheduler killed -> next transition": bench.scheduler_killed,
            "broker back -> first dispatch": bench.broker_back,
            "database back -> next transition": bench.database_back,
        },
    )


def measure_clustered(system: Cluster, broker: RabbitCluster, times: int) -> Summaries:
    """Return p50 and p99, in seconds, of the time to recovery from the loss of a node of the broker."""
    bench = _Bench(system)
    return _measured(times, {"cluster node lost -> next dispatch": lambda: bench.node_lost(broker)})


def _measured(times: int, measured: dict[str, Callable[[], float]]) -> Summaries:
    found = {}
    for name, one in measured.items():
        found[name] = _summary([one() for _ in range(times)])
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def _clustered(folder: Path, broker: RabbitCluster, postgres: PostgresServer) -> Cluster:
    urls = broker.urls(PASSWORDS, nodes=broker.nodes)
    logins = {"api": urls["api"], "scheduler": urls["scheduler"], "worker": urls["worker-default"]}
    system = Cluster(folder, broker.nodes[0], postgres, schedulers=2, workers=0, lease_s=_LEASE_S, amqp_urls=logins)
    # The pool of the workers' login begins their ids.
    system.workers.extend(system.worker(f"default-w{number}") for number in (1, 2))
    return system


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.recovery", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20, help="how often each is measured (default: 20)")
    times = parser.parse_args().times
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-recovery-")))
        rabbit = stack.enter_context(RabbitServer())
        postgres = stack.enter_context(PostgresServer(fsync=True))
        load = os.getloadavg()[0]
        with Cluster(home / "one", rabbit, postgres, schedulers=2, workers=2, lease_s=_LEASE_S) as system:
            seconds = measure(system, times)
        rabbit.stop()
        broker = stack.enter_context(RabbitCluster(write_definitions(home / "users")))
        with _clustered(home / "three", broker, postgres) as system:
            seconds |= measure_clustered(system, broker, times)
    print(
        json.dumps({"lease_s": _LEASE_S, "cores": os.cpu_count(), "load": round(load, 1), "seconds": seconds}, indent=2)
    )


if __name__ == "__main__":
    main()
