"""``python -m bench.first_step [embedded|distributed|both]``: how long until the process of a run's first step runs.

120 runs of one step, one after the other. The client leaves half of them alone and polls the others from their start.
The moments come from the database and from the step itself, which prints the time.
"""

import argparse
import os
import statistics
import time
from datetime import datetime

from bench.loads.small import ApiClient
from bench.systems.rig import Rig, distributed, embedded

_ONE = 'shell: bash\nsteps:\n  - name: s\n    command: echo "$EPOCHREALTIME"\n'
_WARM_UP = 10
_SINGLE = 120
_POLL_S = 0.003
_UNPOLLED_S = 0.025
"""How long the client waits before it polls the other half of the runs.

On two cores, polling takes CPU time from the measured services, most of all in embedded mode. The runs that are
polled from their start show how soon a client sees the end.
"""


def _at(value: str | datetime) -> float:
    moment = datetime.fromisoformat(f"{value}+00:00") if isinstance(value, str) else value
    return moment.timestamp()


def _line(what: str, values: list[float], unit: str = "ms") -> None:
    ordered = sorted(values)
    p50, p99 = statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"  {what:44} p50 {p50:8.2f} {unit}   p99 {p99:8.2f} {unit}")


def _phases(rig: Rig) -> None:
    api = ApiClient(rig.url, own=True)
    api.create("w1", _ONE)
    asked: list[tuple[str, float, float, float]] = []
    for number in range(_WARM_UP + _SINGLE):
        begin = time.time()
        run_id = api.start("w1", "w1")
        answered = time.time()
        polled = number % 2 == 1
        if not polled:
            time.sleep(_UNPOLLED_S)
        assert api.ended("w1", run_id, _POLL_S) == "succeeded"
        asked.append((run_id, begin, answered, time.time() if polled else 0))
    phases: dict[str, list[float]] = {}
    for run_id, begin, answered, visible in asked[_WARM_UP:]:
        (row,) = rig.rows(
            "SELECT r.created_at, r.finished_at AS ended_at, a.dispatched_at, a.started_at FROM dag_runs r"
            " JOIN attempts a ON a.run_key = r.run_key WHERE r.dag_run_id = :id AND r.dag_name = 'w1'",
            id=run_id,
        )
        running = float(api.ask("GET", f"/dag-runs/w1/{run_id}/steps/s/log")[1]["content"])
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
            phases.setdefault(name, []).append(seconds * 1000)
    print(f"{rig.name}: one run of one step, {_SINGLE} times")
    for name, values in phases.items():
        _line(name, values)


def main() -> None:
    """Measure on the deployments that are named."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.first_step", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", nargs="?", default="both", choices=["embedded", "distributed", "both"])
    asked = parser.parse_args().mode
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    for name, started in (("embedded", embedded), ("distributed", distributed)):
        if asked in {name, "both"}:
            with started() as rig:
                _phases(rig)


if __name__ == "__main__":
    main()
