"""The command line of the simulation."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict

from tests.simulation.guards import GUARDS, without
from tests.simulation.simulation import Outcome, Wanted, simulate

__all__ = ["main"]

_HOUR_S = 3600.0
_MOST_SHOWN = 10


def main(arguments: Sequence[str]) -> None:
    """Run simulations and print what they found. Exits with 1 if something is wrong."""
    parser = ArgumentParser(prog="python -m tests.simulation", description="Run simulations, one for each seed.")
    parser.add_argument("first", type=int, help="the first seed")
    parser.add_argument("count", type=int, help="how many seeds")
    parser.add_argument("--without", choices=sorted(GUARDS), help="remove a guard")
    parser.add_argument("--faults-s", type=float, default=60.0, help="for how many simulated seconds there are faults")
    parser.add_argument("--kinds", default="", help="only these kinds of fault, separated by commas")
    parser.add_argument("--pace", type=float, default=1.0, help="how many times as long the pauses between events are")
    parser.add_argument("--first-problem", action="store_true", help="end after the first seed with a problem")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each seed")
    options = parser.parse_args(arguments)
    wanted = Wanted(options.faults_s, tuple(filter(None, options.kinds.split(","))), options.pace)
    outcomes: list[Outcome] = []
    for seed in range(options.first, options.first + options.count):
        with without(options.without) if options.without else nullcontext():
            outcome = simulate(seed, wanted)
        outcomes.append(outcome)
        print(json.dumps(asdict(outcome)) if options.json else _text(outcome), flush=True)
        if outcome.problems and options.first_problem:
            break
    if not options.json:
        print(_summary(outcomes))
    sys.exit(any(outcome.problems for outcome in outcomes))


def _text(outcome: Outcome) -> str:
    counts = ", ".join(f"{count} {what}" for what, count in outcome.counts.items())
    times = f"{outcome.simulated_s:.0f} s in {outcome.cpu_s:.1f} s"
    lines = [f"seed {outcome.seed}: trace {outcome.trace}, {times}, {counts}"]
    return "\n    ".join([*lines, *outcome.problems[:_MOST_SHOWN]])


def _summary(outcomes: Sequence[Outcome]) -> str:
    simulated_s = sum(outcome.simulated_s for outcome in outcomes)
    took_s = sum(outcome.cpu_s for outcome in outcomes)
    bad = [outcome.seed for outcome in outcomes if outcome.problems]
    speed = simulated_s / max(took_s, 0.001)
    return (
        f"{len(outcomes)} seeds, {simulated_s / _HOUR_S:.2f} simulated hours, {speed:.0f} simulated hours in an hour "
        f"of CPU time; seeds with problems: {bad or 'none'}"
    )
