"""Make the plan of a campaign from a seed: the same seed always gives the same plan."""

import random
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tests.chaos.dags import QUEUES, SHAPES, make_dag
from tests.chaos.kinds import EARLIER, LANES, Kind
from tests.chaos.model import EMBEDDED, DagPlan, Fault, Plan, Request, Verb

__all__ = ["LEASE_S", "deployments_with", "make_plan"]

LEASE_S = 5.0
RUNS_A_MINUTE = 60
_QUIET_S = 2.0
"""Without faults: at the begin, so that the first runs are there."""
_BUSY_SHARE = 0.9
"""The part of the time in which runs are started."""


def deployments_with(only: Collection[str], deployments: Iterable[str], *, earlier: bool = False) -> list[str]:
    """Return those of the deployments that have faults of the kinds ``only``; all of them if it is empty.

    Raises ``ValueError`` if no deployment has one of the kinds: a campaign without faults would find nothing.
    """
    names = {
        deployment: {kind.name for kinds in _lanes(deployment, earlier=earlier).values() for kind in kinds}
        for deployment in deployments
    }
    known = set[str]().union(*names.values())
    if unknown := sorted(set(only) - known):
        raise ValueError(f"no such fault here: {'; '.join(unknown)}. There are: {'; '.join(sorted(known))}")
    return [deployment for deployment in names if not only or names[deployment] & set(only)]


def make_plan(
    seed: int,
    deployment: str,
    seconds: float,
    ledger: Path,
    *,
    runs_a_minute: float = RUNS_A_MINUTE,
    pause: float = 1.0,
    earlier: bool = False,
    only: Collection[str] = (),
) -> Plan:
    """Return the plan of a campaign of ``seconds``, whose steps write to the folder ``ledger``.

    ``pause``: how many times as long as usual a lane waits after a fault. ``earlier``: there are faults that replace a
    process by one of an earlier version for a while. ``only``: the kinds of fault that there are; all if it is empty.
    """
    dags = tuple(_dags(_dice(seed, "dags"), ledger))
    count = round(seconds / 60 * runs_a_minute)
    requests = sorted(_requests(_dice(seed, "requests"), dags, seconds, count), key=lambda one: (one.at_s, one.key))
    lanes = _lanes(deployment, earlier=earlier)
    if only:
        chosen = {lane: tuple(kind for kind in kinds if kind.name in only) for lane, kinds in lanes.items()}
        lanes = {lane: kinds for lane, kinds in chosen.items() if kinds}
    faults = [
        fault
        for lane, kinds in lanes.items()
        for fault in _faults(_dice(seed, f"faults of {lane}"), lane, kinds, seconds, pause)
    ]
    faults.sort(key=lambda one: (one.at_s, one.lane))
    return Plan(seed, deployment, seconds, QUEUES, dags, tuple(requests), tuple(faults))


def _dice(seed: int, what: str) -> random.Random:
    """Return a generator for one part of the plan, so that a change of one part leaves the others as they are."""
    return random.Random(f"{seed}: {what}")


def _lanes(deployment: str, *, earlier: bool) -> dict[str, tuple[Kind, ...]]:
    lanes = dict(LANES[deployment])
    if earlier and deployment != EMBEDDED:
        lanes["processes"] += EARLIER
    return lanes


def _dags(dice: random.Random, ledger: Path) -> Iterator[DagPlan]:
    for shape in SHAPES:
        for number in range(1 if shape == "cron" else 2):
            yield make_dag(f"{shape}-{number + 1}", shape, dice, ledger)


def _requests(dice: random.Random, dags: tuple[DagPlan, ...], seconds: float, count: int) -> Iterator[Request]:
    started = [dag for dag in dags if not dag.cron]
    for number in range(count):
        dag = dice.choice(started)
        at_s = round(dice.uniform(0, seconds * _BUSY_SHARE), 2)
        named = dice.random() < 0.75
        run_id = f"r{number:05}" if named else ""
        queue = dice.choice([*QUEUES, ""])
        verb = Verb.ENQUEUE if queue else Verb.START
        repeats = 1 if dice.random() < 0.15 else 0
        priority = dice.choice(["low", "high"])
        yield Request(at_s, verb, dag.name, run_id, f"run-{number}", repeats, queue, priority)
        later_s, what = round(at_s + dice.uniform(0.5, 4), 2), dice.random()
        if named and what < 0.1:
            yield Request(later_s, Verb.STOP, dag.name, run_id, f"stop-{number}", repeats)
        elif named and dag.fails and what < 0.7:
            yield Request(later_s + 4, Verb.RETRY, dag.name, run_id, f"retry-{number}", repeats)


def _faults(dice: random.Random, lane: str, kinds: tuple[Kind, ...], seconds: float, pause: float) -> Iterator[Fault]:
    """Yield the faults of a lane, one after the other. All kinds have come once before one comes again."""
    at_s = _QUIET_S + dice.uniform(0, 2)
    deck: list[Kind] = []
    while at_s < seconds:
        deck = deck or dice.sample(kinds, len(kinds))
        kind = deck.pop()
        lasts_s = round(LEASE_S * dice.uniform(kind.shortest, kind.longest), 2)
        yield Fault(round(at_s, 2), lane, kind.name, dice.randrange(1000), lasts_s)
        at_s += lasts_s + LEASE_S * kind.rest + pause * dice.uniform(0.5, 4)
