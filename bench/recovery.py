"""``python -m bench.recovery [--times N] [--only TEXT]``: how long a distributed system needs to go on after a fault.

gateway killed -> next start dispatched  one of two; until a worker begins the step of a run that was asked for after
                                         the kill, by a client that tries the other gateway
worker killed -> step decided            a step without ``retryPolicy`` fails as lost; includes the lease
worker killed -> next start dispatched   one of two; the same, for a run that was asked for after the kill
scheduler killed -> next transition      of each of eight runs, whichever scheduler had it; one other scheduler runs
broker back -> first dispatch            until a worker begins a step; from the moment at which the broker accepts
                                         connections, after 3 s away
database back -> next transition         from the moment at which the database answers, after 3 s away
primary killed -> next start dispatched  a replica is promoted at once and takes over the address. The time until
                                         somebody notices that the primary is dead is not included
cluster node lost -> next dispatch       until a worker begins a step; the broker node that leads the queue of tasks is
                                         killed, one of three

Prints JSON: the median and the greatest of N times each, in seconds, and from 100 times on the 99th percentile.
``--only``: the lines above whose name has this text.
"""

import argparse
import json
import math
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
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitCluster, RabbitServer
from tests.harness.servers.postgres_replica import PostgresReplica

Summaries = dict[str, dict[str, float]]

_LEASE_S = 10.0
_AWAY_S = 3.0
_RUNS = 8
_LIMIT_S = 120.0
_PERCENTILES_FROM = 100
"""With fewer values the 99th percentile would be the greatest."""
_LONG = "steps:\n  - name: long\n    command: sleep 600\n"
_QUICK = "steps:\n  - name: quick\n    command: 'true'\n"
_TICKING = "steps:\n" + "".join(f"  - name: s{number}\n    command: sleep 0.2\n" for number in range(200))


class _Bench:
    """The measurements on one system. Each uses new runs and leaves none running."""

    def __init__(self, system: Cluster) -> None:
        self._system = system
        self._number = 0
        system.client.create("long", _LONG)
        system.client.create("quick", _QUICK)
        system.client.create("ticking", _TICKING)

    def gateway_killed(self) -> float:
        victim = self._system.gateways[self._number % len(self._system.gateways)]
        victim.kill9()
        took = self._dispatched(utc_now())
        self._system.start(victim)
        return took

    def other_work(self) -> float:
        run_id, worker = self._busy()
        worker.kill9()
        took = self._dispatched(utc_now())
        self._system.start(worker)
        self._system.client.until("failed", "long", run_id, timeout_s=_LIMIT_S)
        return took

    def worker_killed(self) -> float:
        run_id, worker = self._busy()
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

    def primary_killed(self) -> float:
        with PostgresReplica(self._system.postgres) as replica:
            self._system.postgres.kill()
            killed = utc_now()
            replica.promote()
            replica.trade_places()
            return self._dispatched(killed)

    def _busy(self) -> tuple[str, DagwayProcess]:
        """Return a run with a long step, and the worker that runs the step."""
        run_id = self._start("long")
        self._system.client.until_step("running", "long", run_id, "long")
        holder = self._system.client.run("long", run_id)["workerId"]
        return run_id, next(one for one in self._system.workers if one.env["DAGWAY_WORKER_ID"] == holder)

    def _dispatched(self, since: datetime) -> float:
        """Ask for a run until it is accepted; return how long after ``since`` a worker began its step."""
        self._number += 1
        run_id = f"r{self._number}"
        body, key = {"dagRunId": run_id}, f"quick-{run_id}"
        answer = self._system.client.insist("POST", "/dags/quick/start", body, key=key, timeout_s=_LIMIT_S)
        assert answer.status == 200, answer
        (run,) = self._system.rows(t.dag_runs, dag_name="quick", dag_run_id=run_id)
        return self._next(t.attempts, "started_at", {run["run_key"]: run_id}, since)

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
    found = {"p50": statistics.median(values), "max": max(values), "times": len(values)}
    if len(values) >= _PERCENTILES_FROM:
        found["p99"] = sorted(values)[math.ceil(len(values) * 0.99) - 1]
    return {name: round(value, 3) for name, value in found.items()}


def measure(system: Cluster, times: int, only: str) -> Summaries:
    """Return the times to recovery of a system with one broker."""
    bench = _Bench(system)
    return _measured(
        times,
        only,
        {
            "gateway killed -> next start dispatched": bench.gateway_killed,
            "worker killed -> next start dispatched": bench.other_work,
            "worker killed -> step decided": bench.worker_killed,
            "scheduler killed -> next transition": bench.scheduler_killed,
            "broker back -> first dispatch": bench.broker_back,
            "database back -> next transition": bench.database_back,
            "primary killed -> next start dispatched": bench.primary_killed,
        },
    )


def measure_clustered(system: Cluster, broker: RabbitCluster, times: int, only: str) -> Summaries:
    """Return the time to recovery from the loss of a node of the broker."""
    bench = _Bench(system)
    return _measured(times, only, {"cluster node lost -> next dispatch": lambda: bench.node_lost(broker)})


def _measured(times: int, only: str, measured: dict[str, Callable[[], float]]) -> Summaries:
    found = {}
    for name, one in measured.items():
        if only not in name:
            continue
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
    parser.add_argument("--only", default="", metavar="TEXT", help="only what has this text in its name")
    options = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-recovery-")))
        rabbit = stack.enter_context(RabbitServer())
        postgres = stack.enter_context(PostgresServer(fsync=True))
        load = os.getloadavg()[0]
        with Cluster(home / "one", rabbit, postgres, gateways=2, schedulers=2, workers=2, lease_s=_LEASE_S) as system:
            seconds = measure(system, options.times, options.only)
        rabbit.stop()
        broker = stack.enter_context(RabbitCluster(write_definitions(home / "users")))
        with _clustered(home / "three", broker, postgres) as system:
            seconds |= measure_clustered(system, broker, options.times, options.only)
    print(
        json.dumps({"lease_s": _LEASE_S, "cores": os.cpu_count(), "load": round(load, 1), "seconds": seconds}, indent=2)
    )


if __name__ == "__main__":
    main()
