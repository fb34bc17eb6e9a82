"""Large workloads, by the API, for Dagway and Dagu; the floor runs the first of them.

w5    many runs at once of many steps in a chain, each of which prints lines; memory before and after
w7    a run of parallel ``sleep 30``: how long until all run, and memory for each, with and without its processes
logs  one step that writes much: how fast until its last line can be read, and the most memory meanwhile
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.floor.api import FloorApi
from bench.floor.engine import Floor
from bench.loads.small import ApiClient
from bench.measuring.processes import Pids, memory_mb, peak_memory_mb, running_command
from tests.harness.eventually import eventually

__all__ = ["FULL", "SHORT", "LargeSizes", "measure_floor", "measure_large"]

_CLIENTS = 8
_POLL_S = 0.05
_POLL_LOG_S = 0.2
_POLL_SLEEPS_S = 0.5
_DEADLINE_S = 600.0
_SLEEP_S = 30
_LINE = "0123456789 a line of a long log of a step, as long as lines of logs often are; it ends here"


@dataclass(frozen=True, slots=True)
class LargeSizes:
    """How much each workload runs."""

    runs: int
    steps: int
    lines: int
    sleeps: int
    log_mb: int


FULL = LargeSizes(runs=50, steps=40, lines=100, sleeps=2000, log_mb=200)
SHORT = LargeSizes(runs=10, steps=40, lines=100, sleeps=300, log_mb=50)

Memory = dict[str, dict[str, float]]
Measured = tuple[dict[str, float], Memory]
"""Figures by name, and MB by moment and kind of process."""


def measure_large(api: ApiClient, pids: Pids, sizes: LargeSizes) -> tuple[dict[str, float], dict[str, Memory]]:
    """Run the workloads; return the figures, and MB by workload, moment and kind of process.

    Without processes (``pids``) w7 is left out, which counts those of its steps on this machine.
    ``w5`` is in steps a second, ``w7`` in seconds until ``w7 running`` sleeps ran at once, ``w7 MB`` for each of them,
    ``w7 own MB`` the same without the processes of the steps, ``logs`` in MB a second.
    """
    figures: dict[str, float] = {}
    memory: dict[str, Memory] = {}
    # The log comes last: what it leaves in memory would hide what sleeps need.
    for name, workload in {"w5": _many_lines, "w7": _sleeps, "logs": _one_log}.items():
        if pids or name != "w7":
            found, memory[name] = workload(api, pids, sizes)
            figures |= found
    return figures, memory


def measure_floor(floor: Floor | FloorApi, pids: Pids, sizes: LargeSizes) -> tuple[dict[str, float], dict[str, Memory]]:
    """Run w5 on the floor: as many chains at once, each step with a log, which no API shows."""
    floor.run(sizes.steps, chain=True, lines=sizes.lines)
    before = memory_mb(pids)
    began = time.perf_counter()
    with ThreadPoolExecutor(sizes.runs) as clients:
        list(clients.map(lambda _: floor.run(sizes.steps, chain=True, lines=sizes.lines), range(sizes.runs)))
    speed = sizes.runs * sizes.steps / (time.perf_counter() - began)
    return {"w5": speed, "w5 failed": 0}, {"w5": {"before": before, "after": memory_mb(pids)}}


def _many_lines(api: ApiClient, pids: Pids, sizes: LargeSizes) -> Measured:
    lines = "".join(f"  - name: s{number}\n    command: seq {sizes.lines}\n" for number in range(sizes.steps))
    api.create("lines", f"type: chain\nsteps:\n{lines}")
    api.ended("lines", api.first_run("lines"), _POLL_S, _DEADLINE_S)
    before = memory_mb(pids)
    began = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        started = list(clients.map(lambda _: api.start("lines", "lines"), range(sizes.runs)))
    ended = [api.ended("lines", run, _POLL_S, _DEADLINE_S) for run in started]
    speed = sizes.runs * sizes.steps / (time.perf_counter() - began)
    failed = sum(status != "succeeded" for status in ended)
    return {"w5": speed, "w5 failed": failed}, {"before": before, "after": memory_mb(pids)}


def _one_log(api: ApiClient, pids: Pids, sizes: LargeSizes) -> Measured:
    count = sizes.log_mb * 1_000_000 // (len(_LINE) + 1)
    api.create("pours", f"steps:\n  - name: pour\n    command: yes '{_LINE}' | head -n {count}\n")
    before = memory_mb(pids)
    began = time.perf_counter()
    with peak_memory_mb(pids) as peak:
        run = api.first_run("pours")

        def readable() -> bool:
            status, answer = api.ask("GET", f"/dag-runs/pours/{run}/steps/pour/log?stream=stdout&tail=1")
            # Dagu answers without a number while there is no log yet.
            return status == 200 and answer.get("totalLines", 0) >= count

        eventually(readable, timeout_s=_DEADLINE_S, every_s=_POLL_LOG_S)
        speed = sizes.log_mb / (time.perf_counter() - began)
    assert api.ended("pours", run, _POLL_S, _DEADLINE_S) == "succeeded"
    return {"logs": speed}, {"before": before, "peak": peak}


def _sleeps(api: ApiClient, pids: Pids, sizes: LargeSizes) -> Measured:
    # No other process of the machine sleeps exactly so long.
    command = ["sleep", f"{_SLEEP_S}.{os.getpid()}"]
    steps = "".join(f"  - name: s{number}\n    command: {' '.join(command)}\n" for number in range(sizes.sleeps))
    api.create("sleeps", f"type: graph\n{api.spread}steps:\n{steps}")
    before, most, took_s = memory_mb(pids), 0, 0.0
    began = time.perf_counter()
    run = api.first_run("sleeps")
    while True:
        time.sleep(_POLL_SLEEPS_S)
        now, passed_s = running_command(command), time.perf_counter() - began
        if now > most:
            most, took_s = now, passed_s
        if most == sizes.sleeps or now < most or passed_s > _DEADLINE_S:
            break
    meanwhile, own = memory_mb(pids), memory_mb(pids, without=" ".join(command))
    assert api.ended("sleeps", run, _POLL_SLEEPS_S, _DEADLINE_S) == "succeeded"
    all_mb, own_mb = ((sum(now.values()) - sum(before.values())) / max(1, most) for now in (meanwhile, own))
    figures = {"w7": took_s, "w7 running": most, "w7 asked": sizes.sleeps, "w7 MB": all_mb, "w7 own MB": own_mb}
    return figures, {"before": before, "running": meanwhile}
