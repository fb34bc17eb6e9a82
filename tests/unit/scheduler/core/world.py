"""An invented world around one run: brokers that repeat and lose, workers that die, people who stop things.

Everything that happens is drawn from ``Draw``, so that Hypothesis can look for the shortest history
that breaks a promise. Faults cost: when ``faults`` is used up, the world is fair and all must end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st

from services.scheduler.core.advance import Message, advance
from services.scheduler.core.decision import Advanced, Ignored, Refused
from services.scheduler.core.messages import AttemptLost, Begin, TaskUndelivered, TimerFired
from shared.contracts.events import AttemptFinished, AttemptGivenUp, AttemptStarted, Outcome, TaskRedelivered
from shared.contracts.tasks import Task
from shared.language.model import ContinueOn, Dag, Handler, RetryPolicy, Step
from shared.status import AttemptState, NodeStatus, RunStatus
from tests.unit.scheduler.core.stage import EXIT_CODES, PREPARED, Stage, make_dag, step

__all__ = ["Draw", "World", "dags"]

T = TypeVar("T")
Draw = Callable[[Sequence[T]], T]
Report = AttemptStarted | AttemptFinished | AttemptGivenUp | TaskRedelivered

_RULES = (
    ContinueOn(),
    ContinueOn(),
    ContinueOn(failure=True),
    ContinueOn(skipped=True),
    ContinueOn(failure=True, skipped=True),
    ContinueOn(exit_code=(1,)),
    ContinueOn(exit_code=(7,)),
    ContinueOn(failure=True, mark_success=True),
)
_POLICIES = (
    None,
    None,
    RetryPolicy(limit=0, interval_sec=0),
    RetryPolicy(limit=1, interval_sec=0),
    RetryPolicy(limit=2, interval_sec=5, backoff=2),
    RetryPolicy(limit=2, interval_sec=0, exit_code=(7,)),
)
_WORKERS = ("w1", "w2", "w3")
_TURNS = 3_000


@st.composite
def dags(draw: st.DrawFn, *, least: int = 0, limits: tuple[float, ...] = (0,)) -> Dag:
    """Any dag of a few steps: a chain, or a graph, with the first steps defined first or last."""
    count = draw(st.integers(least, 12))
    chain = draw(st.booleans())
    backwards = draw(st.booleans())
    steps: list[Step] = []
    for idx in range(count):
        if chain:
            depends = [f"s{idx - 1}"] if idx else []
        else:
            depends = [f"s{parent}" for parent in draw(st.lists(st.integers(0, idx - 1), max_size=3))] if idx else []
        rule, policy = draw(st.sampled_from(_RULES)), draw(st.sampled_from(_POLICIES))
        kind = draw(st.sampled_from(["", "", "", "hitl"]))
        steps.append(step(f"s{idx}", *dict.fromkeys(depends), type=kind, continue_on=rule, retry_policy=policy))
    if backwards:
        steps.reverse()
    handlers = draw(st.sets(st.sampled_from(list(Handler))))
    return make_dag(
        *steps,
        handlers=sorted(handlers, key=list(Handler).index),
        max_active_steps=draw(st.integers(0, 3)),
        placement=draw(st.sampled_from(["stick", "spread"])),
        timeout_sec=draw(st.sampled_from(limits)),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """A worker at work on an attempt."""

    task: Task
    worker_id: str


class World:
    """``outcome(name, number)`` says how a node's try ends; ``pick`` decides what happens next.

    ``allows(name)`` is what a person says about a step that waits for approval.
    """

    def __init__(
        self,
        stage: Stage,
        pick: Draw[object],
        outcome: Callable[[str, int], Outcome],
        faults: int,
        allows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.stage = stage
        self.faults = faults
        self._pick = pick
        self._outcome = outcome
        self._allows = allows
        self._seen = (0, 0)
        self._tasks: list[tuple[Task, str | None]] = []
        self._work: list[_Work] = []
        self._taken: set[tuple[str, str]] = set()
        self._told: set[str] = set()
        """Tokens whose worker was told to stop."""
        self._mail: list[Report] = []
        self._old_mail: list[Report] = []

    def run(self) -> None:
        """Go on until the run ends. Raises ``AssertionError`` when it does not."""
        for _ in range(_TURNS):
            self._take_notice()
            if not self.stage.run.status.active:
                return
            doings = self._doings()
            if not doings:
                self._sweep()
                continue
            self._pick(doings)()  # type: ignore[operator]
        raise AssertionError("the run never ends")

    def clear_up(self) -> None:
        """Let all that is still on its way arrive: it must change nothing."""
        before = self.stage.run
        while self._tasks:
            self._take(0)
        while self._work:
            self._end(0)
        for report in [*self._mail, *self._old_mail]:
            assert isinstance(self.stage.tell(report), Ignored)
        self._mail.clear()
        assert self.stage.run is before

    # -- what can happen ---------------------------------------------------------------------------

    def _doings(self) -> list[Callable[[], None]]:
        stage = self.stage
        doings: list[Callable[[], None]] = []
        doings += [lambda at=at: self._take(at) for at in range(len(self._tasks))]  # type: ignore[misc]
        doings += [lambda at=at: self._end(at) for at in range(len(self._work))]  # type: ignore[misc]
        doings += [lambda at=at: self._deliver(at) for at in range(len(self._mail))]  # type: ignore[misc]
        if stage.run.status is RunStatus.QUEUED:
            doings.append(self._admit)
        if not stage.run.stop_reason:
            asked = [node.name for node in stage.run.steps if node.status is NodeStatus.WAITING]
            doings += [lambda name=name: self._decide(name) for name in asked]  # type: ignore[misc]
        first = min(stage.wakes, key=lambda key: stage.wakes[key], default=(0, ""))
        # The run's time limit comes when somebody meddles with time, or when all else waits longer.
        if first[1] == "retry" or (first[1] and (self.faults or not doings)):
            doings.append(self._pass_time)
        if self.faults and (doings or stage.open()):
            doings += [self._go_wrong] * 2
        return doings

    def _go_wrong(self) -> None:
        self.faults -= 1
        stage = self.stage
        wrongs: list[Callable[[], object]] = [stage.stop]
        if self._tasks:
            wrongs += [self._tasks.pop, self._take_twice, self._deliver_task_twice, self._give_up]
        if self._work:
            wrongs += [lambda: self._work.pop(0), self._work.pop]
        if self._mail:
            wrongs += [lambda: self._deliver(-1, keep=True)]
        if self._old_mail:
            wrongs += [lambda: self.stage.tell(self._pick(self._old_mail))]  # type: ignore[arg-type]
        if stage.open():
            wrongs += [lambda: self._doubt(AttemptLost), lambda: self._doubt(TaskUndelivered)]
        if stage.wakes:
            wrongs += [lambda: stage.tell(TimerFired(*min(stage.wakes)))]
        self._pick(wrongs)()  # type: ignore[operator]

    def _admit(self) -> None:
        self.stage.tell(Begin("scheduler"))

    def _decide(self, name: str) -> None:
        """A person makes up their mind; saying it twice is refused."""
        decide = self.stage.approve if self._allows(name) else self.stage.reject
        assert isinstance(decide(name), Advanced)
        assert isinstance(decide(name), Refused)

    def _take(self, at: int) -> None:
        """A worker takes a task and begins, unless it knows the token."""
        task, worker_id = self._tasks.pop(at)
        worker = worker_id or str(self._pick(_WORKERS))
        if (task.token, worker) in self._taken:
            return
        self._taken.add((task.token, worker))
        self._work.append(_Work(task, worker))
        self._mail.append(AttemptStarted(**self._facts(task, worker)))

    def _end(self, at: int) -> None:
        work = self._work.pop(at)
        node = self.stage.run.nodes[work.task.node]
        outcome = self._outcome(node.name, work.task.number)
        if work.task.token in self._told and self._pick((True, True, False)):
            outcome = "aborted"
        outputs = PREPARED if node.kind == "prepare" and outcome == "succeeded" else {"OUT": node.name}
        ended = AttemptFinished(
            **self._facts(work.task, work.worker_id),
            started_at=self.stage.now,
            outcome=outcome,
            exit_code=EXIT_CODES[outcome],
            error="" if outcome in {"succeeded", "skipped"} else outcome,
            outputs=outputs,
        )
        self._mail.append(ended)

    def _deliver(self, at: int, *, keep: bool = False) -> None:
        report = self._mail[at]
        if not keep:
            del self._mail[at]
            self._old_mail.append(report)
        self.stage.tell(report)
        again = advance(self.stage.run, report, self.stage.now)
        assert isinstance(again, Ignored), f"{report.type} counted twice"

    def _pass_time(self) -> None:
        stage = self.stage
        key = min(stage.wakes, key=lambda key: stage.wakes[key])
        if key[1] != "retry":
            self.faults = max(0, self.faults - 1)
        stage.wait(max(0.0, (stage.wakes[key] - stage.now).total_seconds()))

    def _take_twice(self) -> None:
        self._tasks.append(self._tasks[-1])

    def _deliver_task_twice(self) -> None:
        """The broker's mark says so: the worker asks what to do, and the first delivery may still run."""
        task, worker_id = self._tasks[-1] if self._pick((True, False)) else self._tasks.pop()
        self._mail.append(TaskRedelivered(**self._facts(task, worker_id or "w3")))

    def _give_up(self) -> None:
        """A worker does not learn whether the news of its start arrived, and runs nothing."""
        task, worker_id = self._tasks.pop()
        worker = worker_id or str(self._pick(_WORKERS))
        if (task.token, worker) not in self._taken:
            self._taken.add((task.token, worker))
            self._mail += [kind(**self._facts(task, worker)) for kind in (AttemptStarted, AttemptGivenUp)]

    def _doubt(self, kind: type[AttemptLost] | type[TaskUndelivered]) -> None:
        """A worker is given up too early: all it says afterwards must not count."""
        node = self.stage.node(str(self._pick(self.stage.open())))
        self.stage.tell(kind(node.idx, self.stage.token(node.name), "doubted"))

    def _sweep(self) -> None:
        """Nothing is on its way any more: what is open got lost, as the leases will tell."""
        names = self.stage.open()
        assert names, "nothing can happen any more"
        for node in [self.stage.node(name) for name in names]:
            if node.attempt is None:
                continue
            running = node.attempt.state is AttemptState.RUNNING
            message: Message = (AttemptLost if running else TaskUndelivered)(node.idx, node.attempt.token, "lost")
            self.stage.tell(message)

    def _take_notice(self) -> None:
        """Queue the new tasks, and let workers hear what they are told, if they do."""
        tasks, halts = self._seen
        self._tasks += [(effect.task, effect.worker_id) for effect in self.stage.sent[tasks:]]
        for halt in self.stage.halts[halts:]:
            if not halt.revoked:
                self._told.add(halt.token)
            elif self.faults and self._pick((True, False)):
                told = {halt.worker_id} if halt.worker_id else {*_WORKERS}
                self._work = [
                    work for work in self._work if work.task.token != halt.token or work.worker_id not in told
                ]
                if halt.worker_id is None:
                    self._tasks = [(task, worker) for task, worker in self._tasks if task.token != halt.token]
        self._seen = (len(self.stage.sent), len(self.stage.halts))

    def _facts(self, task: Task, worker_id: str) -> dict[str, Any]:
        return {
            "token": task.token,
            "run_key": task.run_key,
            "node": task.node,
            "worker_id": worker_id,
            "incarnation": f"{worker_id}/1",
            "at": self.stage.now,
        }
