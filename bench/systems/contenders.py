"""What is measured: Dagway on both deployments or at a URL, the floor, Dagu and peers, each started afresh."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.floor.api import floor_api
from bench.floor.decisions import Promises
from bench.floor.engine import SLOTS, floor
from bench.loads.large import LargeSizes
from bench.loads.small import ApiClient, Contender, FloorClient, Sizes, WaitingClient
from bench.measuring.processes import Pids
from bench.peers.running import PEERS, peer
from bench.systems.rig import Rig, Servers, distributed, embedded
from tests.comparison.sides import dagu

__all__ = ["LARGE_WORKERS", "WORKERS", "Running", "Start", "at_url", "large", "others", "own", "separate"]

WORKERS, LARGE_WORKERS = 2, 4
_FLOOR_SLOTS = 25
"""Of each of the floor's two workers in w5, where it is fastest: one, two and four workers with 8 and 25 were tried."""


@dataclass(frozen=True, slots=True)
class Running:
    """A contender with its processes by kind, and the URLs of its metrics, if it has phases.

    ``pids`` is empty if the processes are not known, as on another machine. ``waiting``: the same contender by a client
    that waits for runs, if it has such a request. ``sizes``: its own ones of the small workloads.
    """

    contender: Contender
    pids: Pids
    metrics: Sequence[str] = ()
    waiting: Contender | None = None
    sizes: Sizes | None = None


Start = Callable[[], AbstractContextManager[Running]]


def own(used: Servers) -> dict[str, Start]:
    """Return Dagway embedded, and with one, two and three schedulers."""
    found: dict[str, Start] = {"Dagway, embedded": lambda: _dagway(embedded())}
    return found | {
        f"Dagway, {n} scheduler{'s' * (n > 1)}": partial(separate, used, schedulers=n, workers=WORKERS)
        for n in (1, 2, 3)
    }


def others(used: Servers, program: Path | None, peers: Mapping[str, Path]) -> dict[str, Start]:
    """Return the floor, also behind an API, Dagu if its ``program`` is named, and ``peers``, each with its Python."""
    found: dict[str, Start] = {
        "floor": partial(_floor, used, SLOTS),
        "floor behind an API": partial(_floor_api, used, Promises.RUNS),
        "floor behind an API, thorough": partial(_floor_api, used, Promises.STARTS),
        "floor behind an API, complete": partial(_floor_api, used, Promises.ALL),
    }
    if program is not None:
        found["Dagu"] = partial(_dagu, program)
    return found | {PEERS[name].title: partial(_peer, name, python, used) for name, python in peers.items()}


def large(used: Servers, program: Path | None, sizes: LargeSizes) -> dict[str, Start]:
    """Return those that run the large workloads, with a slot for each sleep of w7."""
    found: dict[str, Start] = {
        "Dagway, embedded": lambda: _dagway(embedded(slots=sizes.sleeps, executed=True)),
        "Dagway, 1 scheduler": lambda: separate(
            used, schedulers=1, workers=LARGE_WORKERS, slots=-(-sizes.sleeps // LARGE_WORKERS), executed=True
        ),
        "floor": partial(_floor, used, _FLOOR_SLOTS),
        "floor behind an API, complete": partial(_floor_api, used, Promises.ALL, slots=_FLOOR_SLOTS),
    }
    if program is not None:
        found["Dagu"] = partial(_dagu, program)
    return found


@contextmanager
def separate(
    used: Servers, *, schedulers: int, workers: int, slots: int = 100, executed: bool = False
) -> Iterator[Running]:
    """Run Dagway as separate services, with a vhost and a database of its own. ``executed``: as of ``distributed``."""
    with used.rabbit.vhost() as vhost:
        system = distributed(1, schedulers, workers, on=used, vhost=vhost, slots=slots, executed=executed)
        with _dagway(system, used) as running:
            yield running


@contextmanager
def at_url(url: str, token: str) -> Iterator[Running]:
    """Measure a server that runs already, and delete the DAGs that were created there."""
    client = ApiClient(url.rstrip("/"), own=True, token=token)
    try:
        yield Running(client, {}, waiting=WaitingClient(client))
    finally:
        client.delete_dags()


@contextmanager
def _dagway(system: AbstractContextManager[Rig], used: Servers | None = None) -> Iterator[Running]:
    with system as rig:
        pids = {**rig.pids, **(used.pids if used else {})}
        client = ApiClient(rig.url, own=True)
        yield Running(client, pids, rig.metrics, WaitingClient(client))


@contextmanager
def _floor(used: Servers, slots: int) -> Iterator[Running]:
    with used.rabbit.vhost() as vhost, floor(used, vhost, WORKERS, slots=slots) as started:
        yield Running(FloorClient(started), {**started.pids, **used.pids})


@contextmanager
def _floor_api(used: Servers, promises: Promises, *, slots: int = SLOTS) -> Iterator[Running]:
    with (
        used.rabbit.vhost() as vhost,
        floor_api(used, vhost, WORKERS, slots=slots, promises=promises) as started,
    ):
        yield Running(FloorClient(started), {**started.pids, **used.pids})


@contextmanager
def _dagu(program: Path) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder, dagu(program, Path(folder)) as side:
        # Every run is a process, and a child of the server: its time counts as the server's.
        yield Running(ApiClient(side.url, own=False), {"Dagu": [side.pid]})


@contextmanager
def _peer(name: str, python: Path, used: Servers) -> Iterator[Running]:
    with used.rabbit.vhost() as vhost, peer(name, python, used, vhost, WORKERS) as (client, pids):
        yield Running(client, pids, sizes=PEERS[name].sizes)
