"""How throughput grows with workers and schedulers: a run of ``sleep 1`` steps that fills all slots several times."""

import time
from collections.abc import Iterator

from bench.loads.small import ApiClient
from bench.systems.contenders import separate
from bench.systems.rig import Servers

__all__ = ["SLOTS", "measure_scale"]

SLOTS = 25
"""Of each worker."""
_WORKERS = (2, 4, 8)
_SCHEDULERS = (1, 2, 4)
_FILLS = 4
_POLL_S = 0.05
_DEADLINE_S = 300.0


def measure_scale(used: Servers) -> Iterator[dict[str, float]]:
    """Yield, for each number of schedulers and workers, the steps a second and the share of what the slots allow."""
    for schedulers in _SCHEDULERS:
        for workers in _WORKERS:
            with separate(used, schedulers=schedulers, workers=workers, slots=SLOTS) as running:
                assert isinstance(running.contender, ApiClient)
                took_s = _sleeps(running.contender, workers * SLOTS * _FILLS)
            yield {
                "schedulers": schedulers,
                "workers": workers,
                "steps_a_second": workers * SLOTS * _FILLS / took_s,
                "of_slots": _FILLS / took_s,
            }


def _sleeps(api: ApiClient, count: int) -> float:
    """Return how many seconds a run of ``count`` parallel sleeps of one second takes."""
    steps = "".join(f"  - name: s{number}\n    command: sleep 1\n" for number in range(count))
    api.create("warm", "steps:\n  - name: s\n    command: 'true'\n")
    api.ended("warm", api.first_run("warm"), _POLL_S)
    api.create("sleep1", f"type: graph\n{api.spread}steps:\n{steps}")
    began = time.perf_counter()
    status = api.ended("sleep1", api.start("sleep1", "sleep1"), _POLL_S, _DEADLINE_S)
    assert status == "succeeded", status
    return time.perf_counter() - began
