"""The command line of the simulation."""

from collections.abc import Sequence

from tests.simulation.simulation import simulate

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    first, count = int(arguments[0]), int(arguments[1])
    for seed in range(first, first + count):
        outcome = simulate(seed)
        print(seed, outcome.trace, f"{outcome.simulated_s:.0f} s simulated, {outcome.processor_s:.1f} s", outcome.counts, flush=True)
        for problem in outcome.problems[:10]:
            print("   ", problem)
