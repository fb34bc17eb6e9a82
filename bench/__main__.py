"""``python -m bench [--url URL] [--loads NAME ...]``: Dagway alone, as its clients see it, on both deployments.

small  w1 to w4, embedded and with one, two and three schedulers (``bench.loads.small``)
large  w5, w7 and a log of 200 MB, embedded and with one scheduler and four workers (``bench.loads.large``)
scale  1 to 8 workers and 1, 2 and 4 schedulers (``bench.loads.scale``)
reads  w6, reads with a long history (``bench.api_reads``)
idle   w8, an idle system (``bench.loads.idle``)

The figures are written as JSON to ``bench/results``. ``python -m bench.report FILE`` prints them as tables, ``python -m
bench.plots FILE`` draws them.

``--url`` measures a server that runs already instead, by its API alone: w1 to w5 and the log. The DAGs that it creates
there are deleted at the end. A token comes from ``DAGWAY_API_TOKEN``.
"""

import argparse
import os
from contextlib import ExitStack
from functools import partial

from bench.api_reads import HISTORY, RATE, measure_reads
from bench.loads.idle import measure_idle
from bench.loads.large import FULL, SHORT
from bench.loads.scale import measure_scale
from bench.loads.small import SHORT_SIZES, SIZES
from bench.measuring.result_file import ResultFile
from bench.systems import contenders
from bench.systems.rig import servers
from bench.systems.rounds import Group, run_large, run_rounds, run_small

_LOADS = ("small", "large", "scale", "reads", "idle")
_SECONDS_OF_A_READ = 5


def main() -> None:
    """Run the loads that are named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="of a running server, such as http://localhost:8080")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--loads", nargs="*", choices=_LOADS, default=_LOADS, help="all if not given")
    parser.add_argument("--sizes", choices=["short", "full"], default="full")
    asked = parser.parse_args()
    small, large = (SHORT_SIZES, SHORT) if asked.sizes == "short" else (SIZES, FULL)
    results = ResultFile("bench", asked.rounds, small, large)
    run = {"small": partial(run_small, small), "large": partial(run_large, large)}
    if asked.url:
        start = partial(contenders.at_url, asked.url, os.environ.get("DAGWAY_API_TOKEN", ""))
        groups = [Group({asked.url: start}, work) for name, work in run.items() if name in asked.loads]
        run_rounds(groups, asked.rounds, None, results)
        results.print()
        return
    with ExitStack() as stack:
        used = stack.enter_context(servers())
        found = {"small": contenders.own(used), "large": contenders.large(used, None, large)}
        groups = [Group(found[name], work) for name, work in run.items() if name in asked.loads]
        run_rounds(groups, asked.rounds, None, results)
        if "scale" in asked.loads:
            for point in measure_scale(used):
                results.add("scale", point)
                print("scale", {key: round(value, 2) for key, value in point.items()}, flush=True)
    if "reads" in asked.loads:
        for read in measure_reads(_SECONDS_OF_A_READ):
            results.add("reads", {"runs": HISTORY, "rate": RATE, **read})
    if "idle" in asked.loads:
        results.add("idle", measure_idle())
    results.print()


if __name__ == "__main__":
    main()
