"""``python -m bench.compare [--dagu PROGRAM] [--peers NAME ...]``: Dagway beside Dagu, the floor and peers, in turns.

Each round starts every contender afresh: Dagway on both deployments, with one, two and three schedulers; the floor on
the same RabbitMQ and Postgres; if its program is named, Dagu; and peers that keep durable state (``bench.peers``),
which pip installs into environments of their own. The order changes from round to round, so a drift of the machine's
speed affects all alike. The workloads are those of ``bench.loads.small``. Beside the times, the CPU time of each kind
of process is measured, which depends less on other work on the machine.

In each round Dagway and Dagu then run the large workloads of ``bench.loads.large``, in turns too: Dagway with one
scheduler and four workers. ``--sizes short`` makes all workloads small, ``--loads`` chooses which group is run.

All files, those of the servers included, are in the folder for temporary files: ``TMPDIR`` names one on a file system
such as users have.

The figures are written as JSON to ``bench/results``, after each contender. ``python -m bench.report FILE`` prints them
as a table; with ``--write`` it puts the table into ``docs/performance.md``.
"""

import argparse
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.loads.large import FULL, SHORT
from bench.loads.small import SHORT_SIZES, SIZES
from bench.measuring.result_file import ResultFile
from bench.peers.running import PEERS, installed
from bench.systems import contenders
from bench.systems.rig import servers
from bench.systems.rounds import Group, run_large, run_rounds, run_small


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
    asked = parser.parse_args()
    small, large = (SHORT_SIZES, SHORT) if asked.sizes == "short" else (SIZES, FULL)
    results = ResultFile("bench.compare", asked.rounds, small, large)
    with ExitStack() as stack:
        peers = stack.enter_context(installed(asked.peers))
        used = stack.enter_context(servers())
        groups = {
            "small": Group(
                contenders.own(used) | contenders.others(used, asked.dagu, peers),
                partial(run_small, small),
                once={PEERS[name].title for name in asked.peers if PEERS[name].sizes},
            ),
            "large": Group(contenders.large(used, asked.dagu, large), partial(run_large, large)),
        }
        run_rounds([groups[load] for load in asked.loads], asked.rounds, asked.only, results)
    results.print()


if __name__ == "__main__":
    main()
