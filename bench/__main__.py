"""``python -m bench [embedded|distributed|both]``: latency of one run, hop by hop, and throughput.

w1  120 runs of one step, one after the other; the client polls every second run from its start
w2  200 runs of one step, started by 8 concurrent clients
w3  one run of 200 parallel steps
w4  one run of a chain of 50 steps
"""

import argparse
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from bench.rig import Rig, distributed, embedded

_ONE = 'shell: bash\nsteps:\n  - name: s\n    command: echo "$EPOCHREALTIME"\n'
_NOOP = "steps:\n  - name: s\n    command: 'true'\n"
_WARM_UP = 10
_SINGLE = 120
_MANY = 200
_CHAIN = 50
_POLL_S = 0.003
_UNPOLLED_S = 0.025
"""How long the client waits before it polls the other half of the runs.

On two cores, polling takes processor time from the measured services, most of all in embedded mode. The runs that are
polled from their start show how soon a client sees the end.
"""


def _at(value: str | datetime) -> float:
    moment = datetime.fromisoformat(f"{value}+00:00") if isinstance(value, str) else value
    return moment.timestamp()


def _line(what: str, values: list[float], unit: str = "ms") -> None:
    ordered = sorted(values)
    p50, p99 = statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"  {what:44} p50 {p50:8.2f} {unit}   p99 {p99:8.2f} {unit}")


def _hops(rig: Rig) -> None:
    rig.post("/dags", {"name": "w1", "spec": _ONE})
    asked: list[tuple[str, float, float, float]] = []
    for number in range(_WARM_UP + _SINGLE):
        run_id = f"r{number}"
        begin = time.time()
        rig.post("/dags/w1/start", {"dagRunId": run_id})
        answered = time.time()
        polled = number % 2 == 1
        if not polled:
            time.sleep(_UNPOLLED_S)
        while rig.get(f"/dag-runs/w1/{run_id}")["dagRunDetails"]["status"] != 4:
            time.sleep(_POLL_S)
        asked.append((run_id, begin, answered, time.time() if polled else 0))
    hops: dict[str, list[float]] = {}
    for run_id, begin, answered, visible in asked[_WARM_UP:]:
        (row,) = rig.rows(
            "SELECT r.created_at, r.finished_at AS ended_at, a.dispatched_at, a.started_at FROM dag_runs r"
            " JOIN attempts a ON a.run_key = r.run_key WHERE r.dag_run_id = :id AND r.dag_name = 'w1'",
            id=run_id,
        )
        running = float(rig.get(f"/dag-runs/w1/{run_id}/steps/s/log")["content"])
        moments = {
            "request -> recorded (answer received)": answered - begin,
            "request -> decided (run created, dispatched)": _at(row["dispatched_at"]) - begin,
            "dispatched -> started on the worker": _at(row["started_at"]) - _at(row["dispatched_at"]),
            "started -> the step's process prints": running - _at(row["started_at"]),
            "process prints -> end decided": _at(row["ended_at"]) - running,
            "START -> FIRST STEP'S PROCESS RUNNING": running - begin,
        }
        if visible:
            moments = {
                "START -> PROCESS RUNNING, while polled": running - begin,
                "end decided -> visible by GET": visible - _at(row["ended_at"]),
                "request -> visible as succeeded": visible - begin,
            }
        for name, seconds in moments.items():
            hops.setdefault(name, []).append(seconds * 1000)
    print(f"w1 {rig.name}: one run of one step, {_SINGLE} times")
    for name, values in hops.items():
        _line(name, values)


def _many(rig: Rig) -> None:
    rig.post("/dags", {"name": "w2", "spec": _NOOP})
    begin = time.perf_counter()
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda _: rig.post("/dags/w2/start"), range(_MANY)))
    asked = time.perf_counter() - begin
    rig.wait_ended("w2", _MANY)
    took = time.perf_counter() - begin
    print(f"w2 {rig.name}: {_MANY} one-step runs: {_MANY / took:.0f} runs/s (recorded {_MANY / asked:.0f}/s)")


def _parallel(rig: Rig) -> None:
    steps = "".join(f"  - name: s{number}\n    command: 'true'\n" for number in range(_MANY))
    rig.post("/dags", {"name": "w3", "spec": f"type: graph\nsteps:\n{steps}"})
    took = _time_to_end(rig, "w3")
    print(f"w3 {rig.name}: one run of {_MANY} parallel steps: {_MANY / took:.0f} steps/s ({took:.2f} s)")


def _chain(rig: Rig) -> None:
    steps = "".join(f"  - name: s{number}\n    command: 'true'\n" for number in range(_CHAIN))
    rig.post("/dags", {"name": "w4", "spec": f"steps:\n{steps}"})
    took = _time_to_end(rig, "w4")
    print(f"w4 {rig.name}: one run of {_CHAIN} steps in a chain: {took / _CHAIN * 1000:.1f} ms a step")


def _time_to_end(rig: Rig, dag: str) -> float:
    begin = time.perf_counter()
    rig.post(f"/dags/{dag}/start")
    rig.wait_ended(dag, 1)
    return time.perf_counter() - begin


def main() -> None:
    """Run the workloads in the requested modes."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", nargs="?", default="both", choices=["embedded", "distributed", "both"])
    asked = parser.parse_args().mode
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    for name, started in (("embedded", embedded), ("distributed", distributed)):
        if asked in {name, "both"}:
            with started() as rig:
                for workload in (_hops, _many, _parallel, _chain):
                    workload(rig)


if __name__ == "__main__":
    main()
