"""Rounds in which contenders take turns, each started afresh."""

import itertools
import os
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.loads.large import LargeSizes, measure_floor, measure_large
from bench.loads.small import ApiClient, Contender, FloorClient, Sizes, measure
from bench.measuring.meter import Meter
from bench.measuring.result_file import ResultFile
from bench.systems.contenders import Running, Start

__all__ = ["Group", "run_large", "run_rounds", "run_small"]


Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """Contenders that run the same workloads.

    ``work`` runs them and returns what was measured, by what follows the contender's name in the tables.
    ``once``: the names of those that need minutes, and take part in the first round only.
    """

    contenders: Mapping[str, Start]
    work: Callable[[Running], dict[str, Found]]
    once: Collection[str] = ()


def run_small(sizes: Sizes, running: Running) -> dict[str, Found]:
    """Run w1 to w4, in the contender's own sizes if it has some, and again by a client that waits if it has one."""
    sizes = running.sizes or sizes
    clients = {"": running.contender, ", waiting": running.waiting}
    return {
        suffix: _run_small(sizes, running, client, phases=bool(suffix))
        for suffix, client in clients.items()
        if client is not None
    }


def _run_small(sizes: Sizes, running: Running, client: Contender, *, phases: bool) -> Found:
    meter = Meter(running, sizes, phases=phases)
    figures = measure(client, sizes, meter)
    return {"figures": figures, "core_ms": meter.core_ms, "phases_ms": meter.phases_ms, "sizes": asdict(sizes)}


def run_large(sizes: LargeSizes, running: Running) -> dict[str, Found]:
    """Run w5, w7 and the large log; the floor runs w5 alone."""
    if isinstance(running.contender, FloorClient):
        figures, memory = measure_floor(running.contender.floor, running.pids, sizes)
    else:
        assert isinstance(running.contender, ApiClient)
        figures, memory = measure_large(running.contender, running.pids, sizes)
    return {"": {"figures": figures, "memory_mb": memory}}


def run_rounds(groups: Sequence[Group], rounds: int, only: Sequence[str] | None, results: ResultFile) -> None:
    """Let the contenders of each group take turns. The order changes from round to round. ``only``: their names."""
    for number, group in itertools.product(range(rounds), groups):
        late = group.once if number else ()
        order = [name for name in group.contenders if (not only or name in only) and name not in late]
        random.Random(number).shuffle(order)
        for name in order:
            load = os.getloadavg()[0]
            with group.contenders[name]() as running:
                measured = group.work(running)
            for suffix, found in measured.items():
                results.add("measured", {"contender": name + suffix, "round": number, "load": round(load, 1), **found})
                print(name + suffix, {key: round(value, 1) for key, value in found["figures"].items()}, flush=True)
