"""The simulation keeps its promises: it repeats, it finds nothing in the real code, and it finds each removed guard."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUARDS = {
    "confirm": (130, "connection lost,worker killed"),
    "grant": (30, "worker frozen,connection lost"),
    "inbox": (1, "commits fail,scheduler killed"),
    "marker": (1, "broker blocks"),
    "outbox": (1, "killed at a point"),
    "token": (7, "messages come twice"),
    "version": (11, "connection lost,scheduler frozen"),
}
"""By guard: the first of up to ``_SEEDS`` seeds, and the kinds of fault. With the guard these seeds find nothing.

The code decides which seed finds its absence, and which of the consequences comes first.
"""
_SEEDS = 16


def simulations(first: int, count: int, *options: str) -> list[dict[str, Any]]:
    """Run simulations in a process of their own, which alone has the simulated threads and time."""
    command = [sys.executable, "-m", "tests.simulation", str(first), str(count), "--json", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_same_seed_is_the_same_simulation() -> None:
    """In another process, and also as the second simulation of a process."""
    first, second = simulations(14, 2, "--faults-s", "20")
    (again,) = simulations(15, 1, "--faults-s", "20")

    assert first["trace"] != second["trace"]
    assert second["trace"] == again["trace"]
    assert second["counts"] == again["counts"]


def test_nothing_is_wrong_whatever_goes_wrong() -> None:
    """Each seed has other faults. ``make simulate`` tries more of them."""
    for outcome in simulations(10, 2):
        assert outcome["problems"] == [], f"make simulate SEED={outcome['seed']} SEEDS=1"
        assert outcome["counts"]["faults"]
        assert outcome["counts"]["executions"]


def test_nothing_is_wrong_when_events_are_rare() -> None:
    """Leases, sweeps and timers then go by between two faults."""
    (outcome,) = simulations(12, 1, "--pace", "10", "--faults-s", "120")

    assert outcome["problems"] == []
    assert outcome["counts"]["faults"]
    assert outcome["counts"]["executions"]


def test_a_failover_that_loses_commits_leaves_a_consistent_system() -> None:
    (outcome,) = simulations(2, 1, "--kinds", "database fails over", "--faults-s", "20")

    assert outcome["problems"] == []
    assert outcome["counts"]["faults"]
    assert outcome["counts"]["executions"]


# Up to 17 simulations of some seconds of CPU time, which a busy machine spreads over minutes.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("guard", GUARDS)
def test_a_removed_guard_is_found(guard: str) -> None:
    first, kinds = GUARDS[guard]
    faults = ["--kinds", kinds, "--faults-s", "30"]

    without = simulations(first, _SEEDS, "--without", guard, "--first-problem", *faults)
    seeds = [outcome["seed"] for outcome in without if outcome["problems"]]

    assert seeds, "nothing shows that the guard is gone"
    (guarded,) = simulations(seeds[0], 1, *faults)
    assert guarded["problems"] == []
