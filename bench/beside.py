"""``python -m bench.beside [--distributed] [--steps 3000] [--rounds 3]``: a small run beside a wide one.

A client starts runs of one step by ``start?wait=``, one after the other, first on an idle system, then while a run of
no-op steps side by side goes on. Prints for each round, in milliseconds from the request to its answer, the median of
both, and the 90th percentile beside the wide run; then the wide run's steps a second, alone and beside the small runs.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from threading import Thread

from bench.loads.small import ApiClient, WaitingClient
from bench.systems.rig import distributed, embedded

__all__ = ["main"]

_IDLE = 30
_PAUSE_S = 0.02
"""Between two small runs, so that they take little of the machine."""
_BEGUN_S = 0.3
"""After this time, all tasks that a scheduler sends ahead are on their way."""


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.beside", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--distributed", action="store_true", help="separate services instead of dagway up")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with distributed(executed=True) if asked.distributed else embedded(executed=True) as rig:
        client = ApiClient(rig.url, own=True)
        waiting = WaitingClient(client)
        client.many(100)
        client.large_dag(asked.steps, chain=False)
        print("small alone ms  beside ms  beside p90 ms  wide alone steps/s  beside steps/s", flush=True)
        for _ in range(asked.rounds):
            _round(waiting, asked.steps)


def _round(client: WaitingClient, steps: int) -> None:
    def wide() -> None:
        client.large(steps, chain=False)

    idle = [_ms(client.one) for _ in range(_IDLE)]
    alone = steps / _ms(wide) * 1000
    lasted: list[float] = []
    thread = Thread(target=lambda: lasted.append(_ms(wide)))
    thread.start()
    time.sleep(_BEGUN_S)
    beside: list[float] = []
    while thread.is_alive():
        beside.append(_ms(client.one))
        time.sleep(_PAUSE_S)
    thread.join()
    p90 = sorted(beside)[int(len(beside) * 0.9)]
    print(
        f"{median(idle):14.1f}  {median(beside):9.1f}  {p90:13.1f}  {alone:18.0f}  {steps / lasted[0] * 1000:14.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
