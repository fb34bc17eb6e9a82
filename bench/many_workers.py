"""``python -m bench.many_workers [WORKERS ...]``: what workers cost the broker, the schedulers and Postgres.

WORKERS simulated workers (10, 100 and 1,000 by default) send heartbeats from one process over a real RabbitMQ to two
schedulers on Postgres: first alone, then while runs of 5 steps are started. Prints messages a second, CPU time
and memory of each service, the age of the oldest heartbeat that was recorded, how many workers were taken for lost, and
what a run takes of the database's disk.

Not in it: the connections of real workers (two each) and what their steps need.
"""

import argparse
import itertools
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from bench.loads.small import ApiClient
from bench.measuring.processes import cpu_of_each_s, memory_mb
from bench.systems.rig import Rig, distributed, servers
from bench.systems.simulated_workers import SimulatedWorkers
from shared.clock import utc_now
from shared.transport.open import open_transport
from tests.harness.eventually import eventually
from tests.harness.signing import signed_as

_LEASE_S = 10.0
_LINKS = 4
_CLIENTS = 8
_READY_S = 300.0
_SPEC = "steps:\n" + "".join(f"  - name: s{number}\n    command: 'true'\n" for number in range(5))


def _live(rig: Rig) -> int:
    return int(rig.rows("SELECT count(*) AS n FROM workers WHERE state = 'live'")[0]["n"])


def _stored_bytes(rig: Rig) -> int:
    """Return the size of the database, with its indexes and the space that updates have left."""
    return int(rig.rows("SELECT pg_database_size(current_database()) AS n")[0]["n"])


@contextmanager
def _runs(api: ApiClient, a_second: float) -> Iterator[list[str]]:
    """Start runs at a constant rate, if the gateway keeps up; yields the ids of those that were started."""
    over, started, begin = threading.Event(), list[str](), time.monotonic()

    def start(first: int) -> None:
        for number in itertools.count(first, _CLIENTS):
            if over.wait(max(0.0, begin + number / a_second - time.monotonic())):
                return
            started.append(api.start("load", "load"))

    with ThreadPoolExecutor(_CLIENTS) as clients:
        sent = [clients.submit(start, number) for number in range(_CLIENTS)]
        try:
            yield started
        finally:
            over.set()
    for each in sent:
        each.result()


def _measure(what: str, rig: Rig, workers: SimulatedWorkers, count: int, seconds: float) -> None:
    pids = {service: each for service, each in rig.pids.items() if each}

    def sent() -> tuple[int, int, int]:
        return workers.heartbeats, workers.tasks, workers.reports

    before, messages, began = cpu_of_each_s(pids), sent(), time.monotonic()
    oldest_s, fewest = 0.0, count
    while time.monotonic() - began < seconds:
        time.sleep(1)
        (row,) = rig.rows("SELECT min(heartbeat_at) AS at FROM workers WHERE worker_id LIKE 'sim-%'")
        oldest_s = max(oldest_s, (utc_now() - row["at"]).total_seconds())
        fewest = min(fewest, _live(rig))
    took = time.monotonic() - began
    memory = memory_mb(pids)
    rates = [(now - was) / took for now, was in zip(sent(), messages, strict=True)]
    print(f"{count} workers, {what}: {rates[0]:.0f} heartbeats, {rates[1]:.0f} tasks, {rates[2]:.0f} reports a second")
    for service, cpu in cpu_of_each_s(pids).items():
        share = (cpu - before[service]) / took
        of_each = share * 1e6 / count
        print(
            f"    {service:18} {share * 100:6.1f} % of a CPU, {of_each:8.0f} µs a second for each worker, "
            f"{memory[service]:6.0f} MB"
        )
    print(
        f"    oldest recorded heartbeat {oldest_s:.1f} s (lease {_LEASE_S:g} s), {count - fewest} workers lost, "
        f"heartbeats sent up to {workers.late_s:.1f} s late, load of the machine {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def measure(count: int, seconds: float, runs_a_second: float) -> None:
    """Measure one number of workers on a system of its own."""
    with ExitStack() as stack:
        on = stack.enter_context(servers())
        rig = stack.enter_context(distributed(schedulers=2, workers=0, on=on, executed=True))
        rig.pids = {**rig.pids, **on.pids, "workers": [], "simulated workers": [os.getpid()]}
        links = [
            signed_as("worker", open_transport(on.rabbit.url, name=f"sim-{n}", creates=False)) for n in range(_LINKS)
        ]
        for link in links:
            stack.callback(link.close)
        eventually(lambda: all(link.healthy for link in links), timeout_s=_READY_S)
        began = time.monotonic()
        workers = stack.enter_context(SimulatedWorkers(links, count, _LEASE_S))
        eventually(lambda: _live(rig) == count, timeout_s=_READY_S)
        print(f"{count} workers known after {time.monotonic() - began:.1f} s")
        _measure("idle", rig, workers, count, seconds)
        api = ApiClient(rig.url, own=True)
        api.create("load", _SPEC)
        before = _stored_bytes(rig)
        with _runs(api, runs_a_second) as started:
            _measure(f"{runs_a_second:g} runs a second", rig, workers, count, seconds)
        rig.wait_ended("load", len(started))
        of_each = (_stored_bytes(rig) - before) / len(started) / 1000
        print(f"    {len(started)} runs started, all ended successfully; {of_each:.1f} kB of disk for each", flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.many_workers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workers", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--seconds", type=float, default=20, help="how long each measurement takes (default: 20)")
    parser.add_argument("--runs", type=float, default=4, help="how many runs are started a second (default: 4)")
    asked = parser.parse_args()
    for count in asked.workers:
        measure(count, asked.seconds, asked.runs)


if __name__ == "__main__":
    main()
