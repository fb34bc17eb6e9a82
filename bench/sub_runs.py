"""``python -m bench.sub_runs [--dagu PROGRAM] [--rounds N]``: runs that call other runs, for Dagway and Dagu.

fan-out  one step calls the same DAG 200 times, at most 50 at once
steps    100 parallel steps call it once each
chain    20 steps in a chain call it once each

The called DAG has one step. Each contender is started afresh for each round. The table has medians of the rounds:
sub-runs a second, and the milliseconds of CPU time that all processes need for one, RabbitMQ and Postgres included.
"""

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.loads.small import ApiClient
from bench.measuring.processes import cpu_s
from bench.systems.contenders import others, own
from bench.systems.rig import servers

_CALLED = "steps:\n  - name: work\n    command: 'true'\n"
_ITEMS, _AT_ONCE, _STEPS, _CHAIN = 200, 50, 100, 20
_POLL_S, _DEADLINE_S = 0.02, 300
_CONTENDERS = ("Dagway, embedded", "Dagway, 1 scheduler", "Dagway, 2 schedulers", "Dagu")


def _calls(steps: int) -> str:
    return "".join(f"  - name: s{number}\n    call: called\n" for number in range(steps))


_FAN = f"""steps:
  - name: fan
    call: called
    parallel:
      items: [{", ".join(f"'{number}'" for number in range(_ITEMS))}]
      maxConcurrent: {_AT_ONCE}
"""
_WORKLOADS = {
    "fan-out": (_FAN, _ITEMS),
    "steps": (f"type: graph\nsteps:\n{_calls(_STEPS)}", _STEPS),
    "chain": (f"type: chain\nsteps:\n{_calls(_CHAIN)}", _CHAIN),
}
"""The spec of each calling DAG, and how many sub-runs one run of it has."""


def _measure(client: ApiClient, pids: Sequence[int], workload: str) -> tuple[float, float]:
    """Run a calling DAG twice; return sub-runs a second and core-milliseconds for each, of the second time."""
    spec, count = _WORKLOADS[workload]
    client.create(workload, spec)
    run = client.first_run(workload)
    assert client.ended(workload, run, _POLL_S, _DEADLINE_S) == "succeeded"
    before, began = sum(map(cpu_s, pids)), time.perf_counter()
    run = client.start(workload, workload)
    assert client.ended(workload, run, _POLL_S, _DEADLINE_S) == "succeeded"
    took_s = time.perf_counter() - began
    return count / took_s, (sum(map(cpu_s, pids)) - before) / count * 1000


def main() -> None:
    """Measure all contenders in turns and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.sub_runs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dagu", type=Path, help="a Dagu binary, to measure beside Dagway")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    with servers() as used:
        starts = own(used) | others(used, asked.dagu, {})
        names = [name for name in _CONTENDERS if name in starts]
        for turn in range(asked.rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                with starts[name]() as running:
                    client = running.contender
                    assert isinstance(client, ApiClient)
                    pids = [pid for each in running.pids.values() for pid in each]
                    client.create("called", _CALLED)
                    client.ended("called", client.first_run("called"), _POLL_S)
                    for workload in _WORKLOADS:
                        found[name, workload].append(_measure(client, pids, workload))
    print("| | " + " | ".join(f"{each}, sub-runs/s | core-ms each" for each in _WORKLOADS) + " |")
    print("| --- " * (1 + 2 * len(_WORKLOADS)) + "|")
    for name in names:
        cells = []
        for workload in _WORKLOADS:
            speeds, costs = zip(*found[name, workload], strict=True)
            cells += [f"{statistics.median(speeds):.0f} ({min(speeds):.0f} to {max(speeds):.0f})"]
            cells += [f"{statistics.median(costs):.1f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
