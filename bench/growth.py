"""``python -m bench.growth [steps ...] [--shape wide|chain] [--store none|sqlite|postgres]``: cost by size of runs.

Plays runs of one wide layer or one chain of steps against a scheduler's transactions, without broker and workers: each
task is answered by the report of its start and, in the next batch, by that of its end. The sizes take turns: in each
round, small runs have 1,000 steps together, and a larger one is played once. Prints the medians of the rounds, in
milliseconds: of this process' CPU time to load the file and to carry out the start (what POST waits for, with
its wall time); for each step, the start included, of this process' CPU time, of the Postgres server's, and of
wall time. ``none`` runs the core alone.
"""

import argparse
import time
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from datetime import datetime
from statistics import median
from typing import Any

from bench.measuring.processes import cpu_s
from bench.systems.rig import database
from services.scheduler.commands.carry_out import carry_out, parse_specs
from services.scheduler.core.advance import advance
from services.scheduler.core.decision import Advanced, Dispatch
from services.scheduler.core.messages import Begin
from services.scheduler.core.model import Run
from services.scheduler.core.plan import Plan
from services.scheduler.deciding.creation import new_run
from services.scheduler.deciding.events import record_events
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans, spec_hash
from services.scheduler.deciding.transactor import Transactor
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.actors import Actor
from shared.contracts.codec import Envelope, decode
from shared.contracts.events import AttemptFinished, AttemptStarted
from shared.contracts.tasks import Task
from shared.garbage import freeze_loaded
from shared.ids import new_run_id
from shared.language.load import load
from shared.status import RunStatus
from shared.store.engine import open_engine
from shared.store.writes.transaction import Store

_AT_ONCE = 20
"""Reports in one batch; a chain has only one at a time."""
_ACTOR = Actor(kind="token", name="bench", role="admin")
_STEPS_A_ROUND = 1_000
"""How many steps the runs of one size have together in a round. It is short, as the machine's speed drifts."""


def spec(shape: str, steps: int) -> str:
    """Return a workflow of ``steps`` no-op steps, side by side or one after the other."""
    chain = "type: chain\n" if shape == "chain" else "type: graph\nplacement: spread\n"
    return chain + "steps:\n" + "".join(f"  - name: s{number}\n    command: 'true'\n" for number in range(steps))


@dataclass
class Cost:
    """CPU and wall seconds of the parts of a run. ``database_s``: the CPU time of the database server."""

    start_s: float = 0
    start_wall_s: float = 0
    steps_s: float = 0
    steps_wall_s: float = 0
    database_s: float = 0


def _reports(task: Task, at: datetime) -> tuple[AttemptStarted, AttemptFinished]:
    facts: dict[str, Any] = {
        "token": task.token,
        "run_key": task.run_key,
        "node": task.node,
        "worker_id": "w1",
        "incarnation": "w1/1",
        "at": at,
    }
    return AttemptStarted(**facts), AttemptFinished(**facts, started_at=at, outcome="succeeded", exit_code=0)


class _Core:
    """A run that only the core knows."""

    def __init__(self, shape: str, steps: int) -> None:
        dag = load(spec(shape, steps), file_name="growth").dag
        assert dag is not None
        self._plan = Plan(dag)
        self._run = self._new()
        self._tasks: list[Task] = []

    def _new(self) -> Run:
        return new_run(
            self._plan,
            run_key=new_run_id(),
            dag_name="growth",
            dag_run_id="r1",
            given="",
            queue=None,
            queued=False,
            now=utc_now(),
        )

    def start(self) -> None:
        self._run = self._new()
        self._tell(Begin("bench"))

    def record(self, events: list[Any]) -> None:
        for event in events:
            self._tell(event)

    def sent(self) -> list[Task]:
        sent, self._tasks = self._tasks, []
        return sent

    def ended(self) -> bool:
        return self._run.status is RunStatus.SUCCEEDED

    def _tell(self, message: Any) -> None:
        decision = advance(self._run, message, utc_now(), "salt")
        assert isinstance(decision, Advanced), decision
        self._run = decision.run
        self._tasks += [effect.task for effect in decision.effects if isinstance(effect, Dispatch)]


class _Stored:
    """Runs in a database."""

    def __init__(self, url: str, shape: str, steps: int) -> None:
        self._engine = open_engine(url)
        plans = Plans()
        self._transactor = Transactor(Store(self._engine), SchedulerMemory(plans), utc_now)
        with self._transactor.store.begin() as tx:
            # A scheduler does so when it starts. Without them, each task would cost one more statement.
            self._transactor.memory.rules.read(tx)
        self._transactor.after_commit(self._see)
        self._sent: list[bytes] = []
        self._ended = 0
        self._name = f"{shape}-{steps}"
        text = spec(shape, steps)
        self._carry_out(c.CreateDag(file_name=self._name, spec=text, actor=_ACTOR))
        self._transactor.decide(lambda batch: plans.get_many(batch.tx, [(spec_hash(text), self._name)]))

    def start(self) -> None:
        self._ended = 0
        self._carry_out(c.StartRun(file_name=self._name, dag_run_id=new_run_id(), actor=_ACTOR))

    def record(self, events: list[Any]) -> None:
        self._transactor.decide(lambda batch: record_events(batch, events, lambda _: utc_now()))

    def sent(self) -> list[Task]:
        sent, self._sent = self._sent, []
        bodies = [decode(body).body for body in sent]
        return [body for body in bodies if isinstance(body, Task)]

    def ended(self) -> bool:
        return self._ended > 0

    def _carry_out(self, command: Any) -> None:
        envelope = Envelope(v=1, id=new_run_id(), at=utc_now(), type=command.type, body=command)
        parse_specs(self._transactor.memory.plans, [envelope])
        (reply,) = self._transactor.decide(lambda batch: carry_out(batch, [envelope]))
        assert reply.outcome == "recorded", reply

    def _see(self, after: Any) -> None:
        self._sent += [message.body for message in after.outgoing]
        self._ended += len(after.ended)


def play(runs: _Core | _Stored) -> Cost:
    """Play one run and return its cost."""
    cost = Cost()
    began_s, began_wall_s = time.process_time(), time.perf_counter()
    runs.start()
    cost.start_s, cost.start_wall_s = time.process_time() - began_s, time.perf_counter() - began_wall_s
    events: deque[Any] = deque()
    ends: dict[str, AttemptFinished] = {}
    while True:
        for task in runs.sent():
            started, ends[task.token] = _reports(task, utc_now())
            events.append(started)
        if not events:
            assert runs.ended()
            return cost
        batch = [events.popleft() for _ in range(min(len(events), _AT_ONCE))]
        began_s, began_wall_s = time.process_time(), time.perf_counter()
        runs.record(batch)
        cost.steps_s += time.process_time() - began_s
        cost.steps_wall_s += time.perf_counter() - began_wall_s
        events.extend(ends.pop(event.token) for event in batch if isinstance(event, AttemptStarted))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", type=int, nargs="*", default=[100, 1_000, 3_000, 10_000])
    parser.add_argument("--shape", choices=["wide", "chain", "both"], default="both")
    parser.add_argument("--store", choices=["none", "sqlite", "postgres"], default="none")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with database(asked.store) if asked.store != "none" else nullcontext(("", None)) as (url, server):
        for shape in ("wide", "chain") if asked.shape == "both" else (asked.shape,):
            _compare(url, server, shape, asked.steps, asked.rounds)


def _compare(url: str, server: int | None, shape: str, sizes: Sequence[int], rounds: int) -> None:
    load_s = {steps: _load_s(shape, steps) for steps in sizes}
    runs = {steps: _Stored(url, shape, steps) if url else _Core(shape, steps) for steps in sizes}
    for steps in sizes:
        play(runs[steps])  # the first run of a DAG prepares its plan
    freeze_loaded()  # as a scheduler does
    costs: dict[int, list[Cost]] = {steps: [] for steps in sizes}
    for _ in range(rounds):
        for steps in sizes:
            costs[steps].append(_mean(runs[steps], max(1, _STEPS_A_ROUND // steps), server))
    print("shape  steps  load ms/step  start ms  start wall ms  ms/step  database ms/step  wall ms/step", flush=True)
    for steps, found in costs.items():
        medians = [median(each) * 1000 for each in zip(*map(astuple, found), strict=True)]
        start, start_wall, mine, wall, database = medians
        print(
            f"{shape:5} {steps:6}  {load_s[steps] / steps * 1000:12.3f}  {start:8.1f}  {start_wall:13.1f}  "
            f"{(start + mine) / steps:7.3f}  {database / steps:16.3f}  {(start_wall + wall) / steps:12.3f}",
            flush=True,
        )


def _load_s(shape: str, steps: int) -> float:
    began_s = time.process_time()
    load(spec(shape, steps), file_name="growth")
    return time.process_time() - began_s


def _mean(runs: _Core | _Stored, count: int, server: int | None) -> Cost:
    """Play ``count`` runs and return the cost of one."""
    began_s = cpu_s(server) if server else 0.0
    costs = [play(runs) for _ in range(count)]
    database_s = cpu_s(server) - began_s if server else 0.0
    mean = Cost(*(sum(each) / count for each in zip(*map(astuple, costs), strict=True)))
    mean.database_s = database_s / count
    return mean


if __name__ == "__main__":
    main()
