"""``python -m bench.queues``: many runs through queues with small limits, while schedulers and workers are killed.

Five queues with limits 1 to 5, four schedulers and six workers as processes on real servers, and a SIGKILL every
three seconds. Prints the seed, the killed processes, the highest number of active runs of each queue, and runs/s.
Exits with 1 if a limit, an order or an invariant was violated.
"""

import argparse
import os
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.systems.rig import servers
from tests.harness.cluster import Cluster
from tests.harness.queue_stress import LIMITS, SCHEDULERS, WORKERS, stress

_A_WAVE = 100
_WITHIN_S = 1800
_LEASE_S = 2.0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.queues", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; seed {asked.seed}", flush=True)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-bench-")))
        home.chmod(0o755)  # Postgres runs as another user
        used = stack.enter_context(servers())
        cluster = Cluster(home, used.rabbit, used.postgres, schedulers=SCHEDULERS, workers=WORKERS, lease_s=_LEASE_S)
        system = stack.enter_context(cluster)
        found = stress(system, runs=asked.runs, a_wave=_A_WAVE, seed=asked.seed, within_s=_WITHIN_S)
    print(f"  {found.runs} runs in {found.took_s:.0f} s, {found.runs / found.took_s:.1f} runs/s; {found.counts}")
    print(f"  killed {dict(found.killed)}, answers {dict(found.answers)}")
    print("  most active runs: " + ", ".join(f"{name} {found.most.get(name)} of {LIMITS[name]}" for name in LIMITS))
    print(f"  violations: {len(found.wrong)}")
    for what in found.wrong[:50]:
        print(f"    {what}")
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
