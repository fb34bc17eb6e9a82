"""``python -m bench.start [--rounds N] [TREE ...]``: what it costs to start and to stop.

Measures ``dagway --help``, ``dagway run`` with a workflow of one step, and ``dagway up`` from its start until it is
healthy, in a new folder and again, and from SIGTERM to its end. ``TREE`` is the folder of another checkout: all take
turns, so that a drift of the machine's speed affects all alike. The first round is not counted, as it compiles modules.

Prints the median of the wall time and of the CPU time, which is that of all processes.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measuring.processes import cpu_s
from tests.harness.eventually import answers_200, eventually, free_port

_HERE = Path(__file__).parents[1]
_HELLO = "steps:\n  - echo hello\n"
_DEADLINE_S = 120


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall time and CPU time, in seconds."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Measure all checkouts by turns and print a table."""
    parser = argparse.ArgumentParser(prog="bench.start", description=__doc__.split("\n\n")[0])
    parser.add_argument("trees", nargs="*", type=Path, metavar="TREE")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    trees = [_HERE, *(tree.resolve() for tree in options.trees)]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; medians of {options.rounds}")
    costs: dict[tuple[str, Path], list[Cost]] = {}
    for number in range(options.rounds + 1):
        for tree in trees:
            for what, cost in _costs(tree):
                if number:
                    costs.setdefault((what, tree), []).append(cost)
    for (what, tree), found in costs.items():
        print(f"{what:24} {_median_ms(found)}   {tree}")
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def _median_ms(costs: Sequence[Cost]) -> str:
    wall_ms = 1_000 * statistics.median(cost.wall_s for cost in costs)
    cpu_ms = 1_000 * statistics.median(cost.cpu_s for cost in costs)
    return f"{wall_ms:6.0f} ms wall  {cpu_ms:6.0f} ms CPU"


def _costs(tree: Path) -> Iterator[tuple[str, Cost]]:
    """Yield what each start and stop of the code in ``tree`` costs."""
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as name:
        folder = Path(name)
        hello = folder / "hello.yaml"
        hello.write_text(_HELLO, encoding="utf-8")
        yield "--help", _whole(tree, "--help")
        yield "run hello.yaml", _whole(tree, "run", "--quiet", str(hello))
        for start, stop in (("up, new folder", ""), ("up, again", "up, from SIGTERM to end")):
            started, stopped = _up(tree, folder / "data")
            yield start, started
            if stop:
                yield stop, stopped


def _start(tree: Path, *args: str) -> "subprocess.Popen[bytes]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DAGWAY_", "PYTHON"))}
    return subprocess.Popen(
        [sys.executable, "-m", "dagway", *args],
        cwd=tree,  # the code that ``-m`` finds first
        env={**environment, "DAGWAY_LOG_LEVEL": "error"},
        stdout=subprocess.DEVNULL,
    )


def _whole(tree: Path, *args: str) -> Cost:
    """Run a command to its end."""
    began = time.perf_counter()
    return _to_the_end(_start(tree, *args), began)


def _to_the_end(process: "subprocess.Popen[bytes]", began: float) -> Cost:
    """Wait for the end of a process and return the time since ``began``, and its whole CPU time."""
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with exit code {process.returncode}")
    return Cost(wall_s, used.ru_utime + used.ru_stime)


def _up(tree: Path, data: Path) -> tuple[Cost, Cost]:
    """Start ``dagway up`` and stop it when it is healthy; return the cost of each."""
    port = free_port()
    health = f"http://127.0.0.1:{port}/api/v2/health"
    began = time.perf_counter()
    process = _start(tree, "up", "--data-dir", str(data), "--port", str(port))
    try:
        eventually(lambda: answers_200(health), timeout_s=_DEADLINE_S, every_s=0.005, slowest_s=0.005)
        started = Cost(time.perf_counter() - began, cpu_s(process.pid))
    finally:
        asked = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        whole = _to_the_end(process, asked)
    return started, Cost(whole.wall_s, max(0.0, whole.cpu_s - started.cpu_s))


if __name__ == "__main__":
    main()
