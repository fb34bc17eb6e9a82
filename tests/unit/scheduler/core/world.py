"""An invented world around one run: brokers that repeat and lose, workers that die, people who stop things.

Workers follow their rule: a task that may be a copy or is old is asked for, all others begin at once. ``ledger`` has
the token of each attempt whose command has begun.

Everything that happens is drawn from ``Draw``, so that Hypothesis can look for the shortest history
that breaks a promise. Faults cost: when ``faults`` is used up, the world is fair and all must end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from services.scheduler.core.advance import Message, advance
from services.scheduler.core.decision import Advanced, Grant, Halt, Ignored, Refused
from services.scheduler.core.messages import AttemptLost, Begin, Requested, TaskUndelivered, TimerFired
from shared.contracts.events import (
    AttemptFinished,
    AttemptGivenUp,
    AttemptRequested,
    AttemptStarted,
    Doubt,
    Outcome,
)
from shared.contracts.tasks import Task
from shared.status import AttemptState, NodeStatus, RunStatus, TimerKind
from tests.unit.scheduler.core.stage import EXIT_CODES, PREPARED, Stage

__all__ = ["Draw", "World"]

T = TypeVar("T")
Draw = Callable[[Sequence[T]], T]
Report = AttemptStarted | AttemptFinished | AttemptGivenUp | AttemptRequested

_WORKERS = ("w1", "w2", "w3")
_TURNS = 3_000


@dataclass(frozen=True, slots=True)
class _Copy:
    """A task on a broker queue. ``doubt`` is what its next receiver will have; empty for a fresh original."""

    task: Task
    worker_id: str | None
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class _Work:
    """A worker at work on an attempt."""

    task: Task
    worker_id: str


@dataclass(frozen=True, slots=True)
class _Asking:
    """A worker that waits for permission."""

    task: Task
    worker_id: str
    doubt: str


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
        self._seen = (0, 0, 0)
        self._tasks: list[_Copy] = []
        self._asking: list[_Asking] = []
        self.ledger: list[str] = []
        self._work: list[_Work] = []
        self._taken: set[tuple[str, str]] = set()
        self._begun: list[_Copy] = []
        """Tasks that were taken; the broker may not have heard so."""
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
        for one in self._asking:
            self._ask(one)
        while self._work:
            self._end(0)
        for report in [*self._mail, *self._old_mail]:
            assert isinstance(self.stage.tell(self._message(report)), Ignored)
        self._mail.clear()
        assert self.stage.run is before

    # -- what can happen ---------------------------------------------------------------------------

    def _doings(self) -> list[Callable[[], None]]:
        stage = self.stage
        doings: list[Callable[[], None]] = []
        doings += [lambda at=at: self._take(at) for at in range(len(self._tasks))]  # type: ignore[misc]
        doings += [lambda at=at: self._end(at) for at in range(len(self._work))]  # type: ignore[misc]
        doings += [lambda at=at: self._deliver(at) for at in range(len(self._mail))]  # type: ignore[misc]
        asked = {(report.token, report.worker_id) for report in self._mail if isinstance(report, AttemptRequested)}
        unheard = [one for one in self._asking if (one.task.token, one.worker_id) not in asked]
        doings += [lambda one=one: self._ask(one) for one in unheard]  # type: ignore[misc]
        if stage.run.status is RunStatus.QUEUED:
            doings.append(self._admit)
        if not stage.run.stop_reason:
            held_up = [node.name for node in stage.run.steps if node.status is NodeStatus.WAITING]
            doings += [lambda name=name: self._decide(name) for name in held_up]  # type: ignore[misc]
        first = min(stage.wakes, key=lambda key: stage.wakes[key], default=(0, ""))
        # The run's time limit comes when somebody meddles with time, or when all else waits longer. A run that stops is
        # told so again and again: if nobody is left to hear it, a lease ends first.
        lost = not doings and stage.run.stop_reason and stage.open()
        if first[1] is TimerKind.RETRY or (first[1] and not lost and (self.faults or not doings)):
            doings.append(self._pass_time)
        if self.faults and (doings or stage.open()):
            doings += [self._go_wrong] * 2
        return doings

    def _go_wrong(self) -> None:
        self.faults -= 1
        stage = self.stage
        wrongs: list[Callable[[], object]] = [stage.stop]
        if self._tasks:
            wrongs += [self._tasks.pop, self._send_again, self._grow_old, self._give_up]
        if self._asking:
            wrongs += [self._give_up_asking, self._asking.pop]
        if self._begun:
            wrongs += [self._redeliver_begun]
        if self._work:
            wrongs += [lambda: self._work.pop(0), self._work.pop]
        if self._mail:
            wrongs += [lambda: self._deliver(-1, keep=True)]
        if self._old_mail:
            wrongs += [lambda: self.stage.tell(self._message(self._pick(self._old_mail)))]  # type: ignore[arg-type]
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
        """A worker takes a task and begins or asks, unless it knows the token."""
        copy = self._tasks.pop(at)
        task = copy.task
        worker = copy.worker_id or str(self._pick(_WORKERS))
        if (task.token, worker) in self._taken:
            return
        self._taken.add((task.token, worker))
        self._begun.append(copy)
        if copy.doubt:
            self._asking.append(_Asking(task, worker, copy.doubt))
            return
        self._mail.append(AttemptStarted(**self._facts(task, worker)))
        self._begin(task, worker)

    def _begin(self, task: Task, worker_id: str) -> None:
        """The user's command begins: once for a token, and not for a closed one, except while a stop is under way."""
        assert task.token not in self.ledger, "an attempt runs twice"
        assert task.token not in self._closed() or task.token in self.stopped(), "a closed attempt runs"
        self.ledger.append(task.token)
        self._work.append(_Work(task, worker_id))

    def _closed(self) -> set[str]:
        return {one.token for one in self.stage.closed}

    def stopped(self) -> set[str]:
        """Return the tokens of the attempts that were taken back because their run was stopped."""
        return {one.token for one in self.stage.closed if one.error in {"stop", "timeout"}}

    def _ask(self, one: _Asking) -> None:
        self._mail.append(AttemptRequested(**self._facts(one.task, one.worker_id), doubt=one.doubt))

    def _message(self, report: Report) -> Message:
        """Return what the scheduler makes of a report: it knows whether the report of a start is on its way."""
        if not isinstance(report, AttemptRequested):
            return report
        return Requested(report, all_heard=report.token not in self._starts_unheard())

    def _starts_unheard(self) -> set[str]:
        return {report.token for report in self._mail if isinstance(report, AttemptStarted)}

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
        message = self._message(report)
        self.stage.tell(message)
        again = advance(self.stage.run, message, self.stage.now, "again")
        assert isinstance(again, Ignored), f"{report.type} counted twice"

    def _pass_time(self) -> None:
        stage = self.stage
        key = min(stage.wakes, key=lambda key: stage.wakes[key])
        if key[1] is not TimerKind.RETRY:
            self.faults = max(0, self.faults - 1)
        stage.wait(max(0.0, (stage.wakes[key] - stage.now).total_seconds()))

    def _send_again(self) -> None:
        """A sweep sends a task a second time. It does so only when the first copy is too old to begin at once."""
        copy = self._tasks[-1]
        self._grow_old(copy.task.token)
        self._tasks.append(_Copy(copy.task, copy.worker_id, Doubt.REDELIVERED))

    def _grow_old(self, token: str = "") -> None:
        """Let time pass for the tasks on the broker queues, or for the copies of one of them."""
        self._tasks = [
            _Copy(copy.task, copy.worker_id, copy.doubt or Doubt.OLD) if token in {"", copy.task.token} else copy
            for copy in self._tasks
        ]

    def _redeliver_begun(self) -> None:
        """The broker did not hear that a worker took a task, and delivers it to another."""
        copy = self._begun[int(self._pick(range(len(self._begun))))]  # type: ignore[call-overload]
        self._grow_old(copy.task.token)
        self._tasks.append(_Copy(copy.task, copy.worker_id, Doubt.REDELIVERED))

    def _give_up(self) -> None:
        """A worker does not learn whether the news of its start arrived, and runs nothing."""
        copy = self._tasks.pop()
        task, worker = copy.task, copy.worker_id or str(self._pick(_WORKERS))
        if not copy.doubt and (task.token, worker) not in self._taken:
            self._taken.add((task.token, worker))
            self._mail += [kind(**self._facts(task, worker)) for kind in (AttemptStarted, AttemptGivenUp)]
            self._tasks.append(_Copy(task, copy.worker_id, Doubt.REDELIVERED))

    def _give_up_asking(self) -> None:
        """A worker gets no answer for too long. Its task returns to the broker."""
        one = self._asking.pop()
        self._mail.append(AttemptGivenUp(**self._facts(one.task, one.worker_id), doubt=one.doubt))
        self._tasks.append(_Copy(one.task, None, Doubt.REDELIVERED))

    def _doubt(self, kind: type[AttemptLost] | type[TaskUndelivered]) -> None:
        """A worker or a task is given up too early: all that is said of it afterwards must not count.

        Schedulers judge only what they have heard: not while the report of the attempt's start is on its way.
        """
        node = self.stage.node(str(self._pick(self.stage.open())))
        token = self.stage.token(node.name)
        if token not in self._starts_unheard():
            self._grow_old(token)
            self.stage.tell(kind(node.idx, token, "doubted"))

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
        tasks, halts, grants = self._seen
        self._tasks += [_Copy(effect.task, effect.worker_id) for effect in self.stage.sent[tasks:]]
        for grant in self.stage.grants[grants:]:
            self._hear_grant(grant)
        for halt in self.stage.halts[halts:]:
            self._hear_halt(halt)
        self._seen = (len(self.stage.sent), len(self.stage.halts), len(self.stage.grants))

    def _hear_grant(self, grant: Grant) -> None:
        for one in self._asking:
            lost = self.faults and not self._pick((True, False))
            if (one.task.token, one.worker_id) == (grant.token, grant.worker_id) and not lost:
                self._asking.remove(one)
                self._begin(one.task, one.worker_id)
                return

    def _hear_halt(self, halt: Halt) -> None:
        if not halt.revoked:
            self._told.add(halt.token)
            return
        told = {halt.worker_id} if halt.worker_id else {*_WORKERS}
        if self.faults and not self._pick((True, False)):
            return
        self._asking = [one for one in self._asking if one.task.token != halt.token or one.worker_id not in told]
        if not self.faults:
            return
        self._work = [work for work in self._work if work.task.token != halt.token or work.worker_id not in told]
        if halt.worker_id is None:
            self._tasks = [copy for copy in self._tasks if copy.task.token != halt.token]

    def _facts(self, task: Task, worker_id: str) -> dict[str, Any]:
        return {
            "token": task.token,
            "run_key": task.run_key,
            "node": task.node,
            "worker_id": worker_id,
            "incarnation": f"{worker_id}/1",
            "at": self.stage.now,
        }
