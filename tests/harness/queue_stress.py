"""Run many runs through queues with different limits while schedulers and workers are killed."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually
from tests.harness.invariants import at_rest, census, violations
from tests.harness.killer import Killer
from tests.harness.queue_log import Passage, most_at_once, overtakings, passages, watch_admissions

__all__ = ["LIMITS", "SCHEDULERS", "WORKERS", "Outcome", "stress"]

LIMITS = {f"q{limit}": limit for limit in range(1, 6)}
SCHEDULERS, WORKERS = 4, 6
KILL_EVERY_S = 3.0
_CLIENTS = 4
_HIGH_SHARE = 0.25
_SPEC = """
placement: spread
steps:
  - name: work
    command: sleep 0.2
    retryPolicy: {limit: 50, intervalSec: 0}
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a stress test: ``wrong`` lists violations, ``took_s`` is the time from first to last run."""

    runs: int
    killed: Counter[str]
    answers: Counter[int]
    most: dict[str, int]
    counts: dict[str, dict[str, int]]
    took_s: float
    wrong: list[str]


def stress(system: Cluster, *, runs: int, a_wave: int, seed: int, within_s: float) -> Outcome:
    """Queue ``runs`` runs in waves of ``a_wave``, and check the limits and the order afterwards.

    A process is killed after each wave, then repeatedly until all runs have ended.

    Raises:
        AssertionError: not all runs ended within ``within_s``.
    """
    dice = random.Random(seed)
    watch_admissions(system.engine)
    for name, limit in LIMITS.items():
        assert system.client.settle("PUT", f"/queues/{name}", {"maxConcurrency": limit}, key=name).status == 200
    system.client.create("steady", _SPEC)
    asked = [(f"r{number:05}", dice.choice(list(LIMITS)), dice.random() < _HIGH_SHARE) for number in range(runs)]
    killer = Killer(system, dice, ["schedulers", "workers"])
    known_at: dict[str, datetime] = {}
    answers: Counter[int] = Counter()
    pause = threading.Event()

    def enqueue(run: tuple[str, str, bool]) -> int:
        run_id, queue, high = run
        body = {"dagRunId": run_id, "queue": queue, "priority": "high" if high else "low"}
        answer = system.client.insist("POST", "/dags/steady/enqueue", body, key=run_id, timeout_s=120)
        if answer.status == 200:
            known_at[run_id] = datetime.now(UTC)
        return answer.status

    began_s = time.monotonic()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        waves = []
        for first in range(0, runs, a_wave):
            waves.append([clients.submit(enqueue, run) for run in asked[first : first + a_wave]])
            pause.wait(KILL_EVERY_S)
            killer.strike()
        answers.update(future.result() for wave in waves for future in wave)
    eventually(_killing(system, killer, runs, pause), timeout_s=within_s)
    took_s = time.monotonic() - began_s
    for process in system.processes:
        system.ready(process)
    found = passages(system.engine)
    most = most_at_once(found)
    wrong = [*_unsettled(system, runs, found, most), *overtakings(found, known_at)]
    return Outcome(runs, killer.killed, answers, most, census(system.engine), took_s, wrong)


def _killing(system: Cluster, killer: Killer, runs: int, pause: threading.Event) -> Callable[[], bool]:
    """Return a condition that kills a process each time the condition does not hold."""

    def over() -> bool:
        if sum(census(system.engine)["runs"].values()) == runs and at_rest(system.engine):
            return True
        pause.wait(KILL_EVERY_S)
        killer.strike()
        return False

    return over


def _unsettled(system: Cluster, runs: int, found: list[Passage], most: dict[str, int]) -> Iterator[str]:
    """Yield further violations. A queue that was never full is one too: its limit was not tested."""
    yield from violations(system.engine, commands=[run.run_id for run in found])
    yield from (f"{name}: {most.get(name, 0)} at once" for name, limit in LIMITS.items() if most.get(name, 0) != limit)
    ended = census(system.engine)["runs"]
    if ended != {"succeeded": runs} or len(found) != runs:
        yield f"{runs} runs ended as {ended}, after {len(found)} passages of queues"
    yield from (f"{run.run_id} has not left {run.queue}" for run in found if run.left is None)
    yield from (f"{run.run_id} was admitted unseen" for run in found if run.looked_at is None)
