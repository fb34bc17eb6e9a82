"""One simulation: a cluster, its clients and its faults, from one seed."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.harness.memory_folder import memory_folder
from tests.simulation.checks import Checks
from tests.simulation.clients import Clients
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel

__all__ = ["Outcome", "Wanted", "simulate"]

_CALM_S = 3.0
_SETTLE_S = 235.0
"""How long a system may take to come to rest when the faults are over: a lease, a sweep, and the longest retries."""
_OFTEN_S = 2.0
_RARELY_S = 20.0
_VERIFY_EVERY = 10
_ROOM_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one simulation found. ``trace``: the hash of all that happened. ``simulated_s``: how long it took inside."""

    seed: int
    problems: list[str]
    trace: str
    simulated_s: float
    cpu_s: float
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a simulation does besides what its seed decides.

    ``faults_s``: for how long there are commands and faults. ``kinds``: the kinds of fault that there are; without any,
    the seed decides. ``pace``: how many times as long the pauses between commands and between faults are. With 60, an
    hour has the events of a minute, so that what takes minutes or hours happens too.
    """

    faults_s: float = 60.0
    kinds: Sequence[str] = ()
    pace: float = 1.0


def simulate(seed: int, wanted: Wanted = Wanted()) -> Outcome:
    """Run a simulation until something is wrong, or until the cluster is at rest after the faults."""
    began_s = time.process_time()
    with _no_log(), TemporaryDirectory(dir=memory_folder(_ROOM_BYTES)) as folder:
        kernel = Kernel(seed)
        Kernel.active = kernel
        schedulers, workers = kernel.rng.choice([1, 2, 2, 3]), kernel.rng.choice([1, 2, 3])
        cluster = Cluster(kernel, Path(folder), schedulers=schedulers, workers=workers)
        try:
            return _run(seed, kernel, cluster, wanted, began_s)
        finally:
            cluster.close()


@contextmanager
def _no_log() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _run(seed: int, kernel: Kernel, cluster: Cluster, wanted: Wanted, began_s: float) -> Outcome:
    faults_s, pace = wanted.faults_s, wanted.pace
    clients = Clients(cluster, count=kernel.rng.choice([1, 2, 3]), until_s=faults_s, pace=pace)
    faults = Faults(cluster, from_s=_CALM_S, until_s=faults_s, kinds=wanted.kinds, pace=pace)
    checks = Checks(cluster, clients)
    problems: list[str] = []
    looks = 0
    look_s = min(_OFTEN_S * pace, _RARELY_S)
    at_rest = False
    while not problems and not at_rest and kernel.now_s < faults_s + _SETTLE_S:
        kernel.run(kernel.now_s + look_s)
        looks += 1
        problems = checks.now() if looks % _VERIFY_EVERY == 0 else checks.often()
        at_rest = kernel.now_s > faults_s and not _on_the_minute(kernel) and checks.at_rest()
    if not problems:
        if _on_the_minute(kernel):
            kernel.run(kernel.now_s + 2 * _OFTEN_S)
        problems = checks.at_end()
    counts = {
        "commands": len(clients.accepted),
        "executions": len(cluster.ledger.executions),
        "faults": sum(faults.struck.values()),
        "switches": kernel.switches,
    }
    return Outcome(seed, problems, kernel.trace_hash, kernel.now_s, time.process_time() - began_s, counts)


def _on_the_minute(kernel: Kernel) -> bool:
    """Whether a schedule may be due that nobody can have decided yet."""
    return kernel.now_s % 60.0 <= _OFTEN_S
