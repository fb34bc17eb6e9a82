"""``python -m bench.compare [--dagu PROGRAM] [--peers NAME ...]``: Dagway beside Dagu, the floor and peers, in turns.

Each round starts every contender afresh: Dagway on both footings, with one, two and three schedulers; the floor on the
same RabbitMQ and Postgres; if its program is named, Dagu; and peers that keep durable state (``bench.peers``), which
pip installs into an environment of their own. The order changes from round to round, so a drift of the machine's speed
affects all alike. The workloads are those of ``bench.workloads``. Beside the times, the processor time of each kind of
process is measured, which depends less on other work on the machine.

In each round Dagway and Dagu then run the large workloads of ``bench.large_loads``, in turns too: Dagway with one
scheduler and four workers. ``--sizes short`` makes all workloads small, ``--loads`` chooses which group is run.

All files, those of the servers included, are in the folder for temporary files: ``TMPDIR`` names one on a file system
such as users have.

The figures are written as JSON to ``bench/results``, after each contender. ``python -m bench.report FILE`` prints them
as a table; with ``--write`` it puts the table into ``docs/performance.md``.

``--same-vhost`` lets all systems follow each other in one vhost of the broker, to see what earlier ones leave behind.
"""

import argparse
import itertools
import json
import os
import platform
import random
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench.disk import file_system
from bench.floor import floor
from bench.large_loads import FULL, SHORT, LargeSizes, measure_large
from bench.peers.contenders import PEERS, installed, peer
from bench.processor import cpu_s
from bench.report import table
from bench.rig import Rig, Servers, distributed, embedded, servers
from bench.workloads import SHORT_SIZES, SIZES, ApiClient, Contender, FloorClient, Sizes, measure
from tests.comparison.sides import dagu

_RESULTS = Path(__file__).with_name("results")
_WORKERS, _LARGE_WORKERS = 2, 4
_HOPS = frozenset({"dagway_hop_seconds_sum", "dagway_gateway_hop_seconds_sum"})


@dataclass(frozen=True, slots=True)
class Running:
    """A contender with its processes by kind, and the URLs of its metrics, if it has hops."""

    contender: Contender
    pids: Mapping[str, Sequence[int]]
    metrics: Sequence[str] = ()


Start = Callable[[], AbstractContextManager[Running]]


@contextmanager
def _dagway(system: AbstractContextManager[Rig], used: Servers | None = None) -> Iterator[Running]:
    with system as rig:
        pids = {**rig.pids, **(used.pids if used else {})}
        yield Running(ApiClient(rig.url, waits=True), pids, rig.metrics)


def _distributed(schedulers: int, used: Servers, vhost: str) -> AbstractContextManager[Running]:
    return _dagway(distributed(1, schedulers, _WORKERS, on=used, vhost=vhost), used)


@contextmanager
def _floor(used: Servers, vhost: str) -> Iterator[Running]:
    with floor(used, vhost, _WORKERS) as started:
        yield Running(FloorClient(started), {**started.pids, **used.pids})


@contextmanager
def _dagu(program: Path) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder, dagu(program, Path(folder)) as side:
        # Every run is a process, and a child of the server: its time counts as the server's.
        yield Running(ApiClient(side.url, waits=False), {"Dagu": [side.pid]})


@contextmanager
def _peer(name: str, python: Path, used: Servers) -> Iterator[Running]:
    with peer(name, python, used, used.rabbit.create_vhost(), _WORKERS) as (client, pids):
        yield Running(client, pids)


class _Meter:
    """Measures the processor time of a contender's processes, and its hops, during a workload."""

    def __init__(self, running: Running, sizes: Sizes) -> None:
        self._running = running
        self._units = {
            "w1": sizes.single,
            "w1 wait": sizes.single,
            "w2": sizes.many,
            "w3": sizes.wide,
            "w4": sizes.chain,
        }
        self._before: dict[str, float] = {}
        self._hops: dict[str, float] = {}
        self._began = 0.0
        self.core_ms: dict[str, dict[str, float]] = {}
        """Core-milliseconds for each run or step, by workload and kind of process."""
        self.hops_ms: dict[str, float] = {}
        """Milliseconds of each hop of a run of ``w1 wait``, and under ``client`` what the client measured."""

    def __call__(self, workload: str) -> None:
        """Begin or end a workload."""
        if not self._before:
            self._hops = self._read_hops() if workload == "w1 wait" else {}
            self._before, self._began = self._spent(), time.perf_counter()
            return
        units, before, lasted_s = self._units[workload], self._before, time.perf_counter() - self._began
        now = self._spent()
        self.core_ms[workload] = {kind: (now[kind] - before[kind]) / units * 1000 for kind in before}
        self._before = {}
        if workload == "w1 wait" and self._running.metrics:
            # Counted after the answer: let the last counts come.
            time.sleep(0.5)
            hops = self._read_hops()
            self.hops_ms = {hop: (hops[hop] - self._hops.get(hop, 0)) / units * 1000 for hop in hops}
            self.hops_ms["client"] = lasted_s / units * 1000

    def _spent(self) -> dict[str, float]:
        return {kind: sum(map(cpu_s, pids)) for kind, pids in self._running.pids.items()}

    def _read_hops(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for url in self._running.metrics:
            with urllib.request.urlopen(url, timeout=30) as answer:
                text = answer.read().decode()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name in _HOPS:
                        hop = sample.labels["hop"]
                        found[hop] = found.get(hop, 0.0) + sample.value
        return found


def _contenders(
    used: Servers, program: Path | None, python: Path | None, peers: Sequence[str], *, same_vhost: bool
) -> dict[str, Start]:
    def vhost() -> str:
        return used.rabbit.url if same_vhost else used.rabbit.create_vhost()

    found: dict[str, Start] = {
        "Dagway, embedded": lambda: _dagway(embedded()),
        **{
            f"Dagway, {count} scheduler{'s' * (count > 1)}": partial(lambda n: _distributed(n, used, vhost()), count)
            for count in (1, 2, 3)
        },
        "floor": lambda: _floor(used, used.rabbit.create_vhost()),
    }
    if program is not None:
        found["Dagu"] = partial(_dagu, program)
    if python is not None:
        found |= {PEERS[name].title: partial(_peer, name, python, used) for name in peers}
    return found


def _large_contenders(used: Servers, program: Path | None, sizes: LargeSizes) -> dict[str, Start]:
    slots = -(-sizes.sleeps // _LARGE_WORKERS)

    def separate() -> AbstractContextManager[Running]:
        vhost = used.rabbit.create_vhost()
        return _dagway(distributed(1, 1, _LARGE_WORKERS, on=used, vhost=vhost, slots=slots, executed=True), used)

    found: dict[str, Start] = {
        "Dagway, embedded": lambda: _dagway(embedded(slots=sizes.sleeps, executed=True)),
        "Dagway, 1 scheduler": separate,
    }
    if program is not None:
        found["Dagu"] = partial(_dagu, program)
    return found


def _small(sizes: Sizes, running: Running) -> dict[str, Any]:
    meter = _Meter(running, sizes)
    figures = measure(running.contender, sizes, meter)
    return {"figures": figures, "core_ms": meter.core_ms, "hops_ms": meter.hops_ms}


def _large(sizes: LargeSizes, running: Running) -> dict[str, Any]:
    assert isinstance(running.contender, ApiClient)
    figures, memory = measure_large(running.contender, running.pids, sizes)
    return {"figures": figures, "memory_mb": memory}


def _conditions(rounds: int, small: Sizes, large: LargeSizes) -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "file_system": file_system(Path(tempfile.gettempdir())),
        "load": round(os.getloadavg()[0], 1),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "rounds": rounds,
        "sizes": asdict(small),
        "large_sizes": asdict(large),
        "workers": _WORKERS,
        "large_workers": _LARGE_WORKERS,
    }


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dagu", type=Path, help="the program of Dagu; without it Dagu is left out")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[], help="none if not given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names of contenders, all if not given")
    parser.add_argument("--loads", nargs="*", choices=["small", "large"], default=["small", "large"])
    parser.add_argument("--sizes", choices=["short", "full"], default="full", help="short: some minutes a round")
    parser.add_argument("--same-vhost", action="store_true")
    asked = parser.parse_args()
    small, large = (SHORT_SIZES, SHORT) if asked.sizes == "short" else (SIZES, FULL)
    _RESULTS.mkdir(exist_ok=True)
    results: dict[str, object] = {"conditions": _conditions(asked.rounds, small, large), "measured": (measured := [])}
    target = _RESULTS / f"compare-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    with ExitStack() as stack:
        python = stack.enter_context(installed(asked.peers)) if asked.peers else None
        used = stack.enter_context(servers())
        groups: dict[str, tuple[dict[str, Start], Callable[[Running], dict[str, Any]]]] = {
            "small": (
                _contenders(used, asked.dagu, python, asked.peers, same_vhost=asked.same_vhost),
                partial(_small, small),
            ),
            "large": (_large_contenders(used, asked.dagu, large), partial(_large, large)),
        }
        for number, loads in itertools.product(range(asked.rounds), asked.loads):
            contenders, work = groups[loads]
            order = [name for name in contenders if not asked.only or name in asked.only]
            random.Random(number).shuffle(order)
            for name in order:
                load = os.getloadavg()[0]
                with contenders[name]() as running:
                    found = work(running)
                measured.append({"contender": name, "round": number, "load": round(load, 1), **found})
                target.write_text(json.dumps(results, indent=1) + "\n")
                print(name, {key: round(value, 1) for key, value in found["figures"].items()}, flush=True)
    print(table(results), f"\nwritten to {target}")


if __name__ == "__main__":
    main()
