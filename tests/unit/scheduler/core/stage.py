"""A stage for the core: invented runs, a worker that reports as told, and the promises checked at every step.

Every decision is also made by looking at all nodes; see ``naive``.
"""

import itertools
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from services.scheduler.core import dispatching
from services.scheduler.core.advance import Message, advance
from services.scheduler.core.decision import (
    Advanced,
    ClosedAttempt,
    Decision,
    Dispatch,
    Execution,
    Grant,
    Halt,
    Transition,
    WakeAt,
)
from services.scheduler.core.messages import (
    Approve,
    AttemptLost,
    Begin,
    PatchNode,
    Reject,
    Requested,
    Retry,
    Stop,
    TaskUndelivered,
    TimerFired,
)
from services.scheduler.core.model import WAITS, Node, Run, evolve
from services.scheduler.core.new_nodes import fresh_nodes, fresh_tally
from services.scheduler.core.plan import FOLLOW_UP, Plan
from services.scheduler.deciding.rows import node_row, run_from_rows, run_row
from shared.contracts.events import AttemptFinished, AttemptGivenUp, AttemptRequested, AttemptStarted, Doubt, Outcome
from shared.contracts.tasks import Task
from shared.language.model import Dag, Handler, Step
from shared.status import AttemptState, NodeStatus, RunStatus, TimerKind
from tests.unit.scheduler.core.naive import NaiveTally

__all__ = ["EXIT_CODES", "PREPARED", "T0", "Stage", "fresh", "make_dag", "step"]

T0 = datetime(2026, 1, 1, tzinfo=UTC)
EXIT_CODES: Mapping[str, int] = {
    "succeeded": 0,
    "skipped": 0,
    "failed": 1,
    "broken": 1,
    "timed_out": 124,
    "aborted": -1,
}
PREPARED = {"env": '[["REGION", "eu"]]', "params": '[["1", "x"]]', "params_json": '{"1": "x"}'}


def step(name: str, *depends: str, **facts: Any) -> Step:
    return Step(name=name, depends=depends, **facts)


def make_dag(*steps: Step, handlers: Iterable[Handler] = (), **facts: Any) -> Dag:
    """Return a dag; the handlers asked for are plain steps under their forced names."""
    return Dag(name="demo", steps=steps, handlers={handler: Step(name=handler.value) for handler in handlers}, **facts)


def fresh(dag: Dag, *, prepare: bool = False, status: RunStatus = RunStatus.NOT_STARTED, **facts: Any) -> Run:
    """Return a run that has not begun."""
    plan = Plan(dag)
    return Run(
        run_key="run-1",
        plan=plan,
        dag_name=dag.name,
        dag_run_id="r1",
        root_dag_name=dag.name,
        root_dag_run_id="r1",
        status=status,
        created_at=T0,
        nodes=fresh_nodes(plan, prepare=prepare),
        tally=fresh_tally(plan, prepare=prepare),
        **facts,
    )


class Stage:
    """One run on its way. ``tell`` is ``advance`` with the core's promises checked; the rest says it shortly."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.now = T0
        self._salts = (f"{number:x}" for number in itertools.count())
        self.sent: list[Dispatch] = []
        self.halts: list[Halt] = []
        self.grants: list[Grant] = []
        self.executions: list[Execution] = []
        self.closed: list[ClosedAttempt] = []
        self.wakes: dict[tuple[int, TimerKind], datetime] = {}
        self.transitions: list[Transition] = []

    @classmethod
    def begun(cls, dag: Dag, *, prepare: bool = False, **facts: Any) -> Self:
        stage = cls(fresh(dag, prepare=prepare, **facts))
        stage.tell(Begin("ann"))
        return stage

    # -- what happens ---------------------------------------------------------------------------

    def tell(self, message: Message) -> Decision:
        """Let ``message`` happen now."""
        before, salt = self.run, next(self._salts)
        naive = evolve(before, tally=NaiveTally(before.plan, before.nodes))
        same = advance(naive, message, self.now, salt)
        decision = advance(before, message, self.now, salt)
        assert decision == same, "what the tally remembers must be what the nodes say"
        effects = () if not isinstance(decision, Advanced) else decision.effects
        for effect in getattr(decision, "effects", ()):
            if isinstance(effect, Halt):
                self.halts.append(effect)
            elif isinstance(effect, Grant):
                self.grants.append(effect)
            elif isinstance(effect, Execution):
                self.executions.append(effect)
        dispatched = [effect for effect in effects if isinstance(effect, Dispatch)]
        closed = [effect for effect in effects if isinstance(effect, ClosedAttempt)]
        for effect in getattr(decision, "effects", ()):
            if isinstance(effect, WakeAt):
                self.wakes[effect.node, effect.kind] = effect.due_at
        if isinstance(decision, Advanced):
            self._check(before, message, decision, dispatched, closed)
            self.run = decision.run
            self.transitions.extend(decision.transitions)
        self.sent.extend(dispatched)
        self.closed.extend(closed)
        return decision

    def start(self, name: str, worker: str = "w1", incarnation: str = "i1", token: str = "") -> Decision:
        event = AttemptStarted(
            token=token or self.token(name),
            run_key=self.run.run_key,
            node=self.node(name).idx,
            worker_id=worker,
            incarnation=incarnation,
            at=self.now,
            stdout=f"/logs/{name}.out",
        )
        return self.tell(event)

    def finish(
        self, name: str, outcome: Outcome = "succeeded", exit_code: int | None = None, token: str = "", **facts: Any
    ) -> Decision:
        """Report the end of the node's open attempt, by whoever holds it."""
        return self.tell(self.ending(name, outcome, exit_code, token, **facts))

    def ending(
        self, name: str, outcome: Outcome = "succeeded", exit_code: int | None = None, token: str = "", **facts: Any
    ) -> AttemptFinished:
        attempt = self.node(name).attempt
        outputs = PREPARED if name == "prepare" and outcome == "succeeded" else {}
        facts = {
            "worker_id": (attempt and attempt.worker_id) or "w1",
            "incarnation": (attempt and attempt.incarnation) or "i1",
            "outputs": outputs,
            "error": "" if outcome in {"succeeded", "skipped"} else outcome,
            **facts,
        }
        return AttemptFinished(
            token=token or self.token(name),
            run_key=self.run.run_key,
            node=self.node(name).idx,
            at=self.now,
            started_at=self.now,
            outcome=outcome,
            exit_code=EXIT_CODES[outcome] if exit_code is None else exit_code,
            **facts,
        )

    def make(self, name: str, outcome: Outcome = "succeeded", exit_code: int | None = None, **facts: Any) -> None:
        """Start the node's open attempt and end it."""
        self.start(name)
        self.finish(name, outcome, exit_code, **facts)

    def lose(self, name: str, why: str = "worker lost") -> Decision:
        return self.tell(AttemptLost(self.node(name).idx, self.token(name), why))

    def undelivered(self, name: str, why: str = "route gone", *, never_sent: bool = False) -> Decision:
        return self.tell(TaskUndelivered(self.node(name).idx, self.token(name), why, never_sent))

    def give_up(
        self, name: str, worker_id: str = "w1", incarnation: str = "i1", token: str = "", doubt: str = ""
    ) -> Decision:
        event = AttemptGivenUp(
            token=token or self.token(name),
            run_key=self.run.run_key,
            node=self.node(name).idx,
            worker_id=worker_id,
            incarnation=incarnation,
            at=self.now,
            doubt=doubt,
        )
        return self.tell(event)

    def ask(
        self,
        name: str,
        doubt: str = Doubt.OLD,
        *,
        worker: str = "w9",
        incarnation: str = "i9",
        token: str = "",
        all_heard: bool = True,
    ) -> Decision:
        """Let a worker ask for an attempt."""
        event = AttemptRequested(
            token=token or self.token(name),
            run_key=self.run.run_key,
            node=self.node(name).idx,
            worker_id=worker,
            incarnation=incarnation,
            at=self.now,
            doubt=doubt,
        )
        return self.tell(Requested(event, all_heard))

    def stop(self) -> Decision:
        return self.tell(Stop("ann"))

    def retry(self, name: str = "") -> Decision:
        return self.tell(Retry("ann", name))

    def approve(self, name: str, **inputs: str) -> Decision:
        return self.tell(Approve(name, inputs, "bob", "bob"))

    def reject(self, name: str, reason: str = "") -> Decision:
        return self.tell(Reject(name, reason, "bob", "bob"))

    def wait(self, seconds: float) -> None:
        """Let time pass, firing the timers that come due on the way."""
        end = self.now + timedelta(seconds=seconds)
        while (due := min(self.wakes.values(), default=end)) <= end and self.wakes:
            self.now = max(self.now, due)
            key = min(self.wakes, key=lambda key: (self.wakes[key], key))
            del self.wakes[key]
            self.tell(TimerFired(*key))
        self.now = end

    def play(self, outcomes: Mapping[str, Any] | None = None) -> "Stage":
        """Make every attempt asked for until the run rests.

        ``outcomes`` holds for each node an outcome or exit code, or a list of them, one a try; the
        last counts on, and what is not named succeeds.
        """
        told = {name: list(value) if isinstance(value, list) else [value] for name, value in (outcomes or {}).items()}
        while self.run.status is RunStatus.RUNNING:
            names = self.open()
            if not names:
                due = min(due for (_, kind), due in self.wakes.items() if kind is TimerKind.RETRY)
                self.wait((due - self.now).total_seconds())
                continue
            values = told.get(names[0], ["succeeded"])
            value = values.pop(0) if len(values) > 1 else values[0]
            if isinstance(value, int):
                self.make(names[0], "failed" if value else "succeeded", value)
            else:
                self.make(names[0], value)
        return self

    # -- what is -----------------------------------------------------------------------------------

    def node(self, name: str) -> Node:
        return next(node for node in self.run.nodes if node.name == name)

    def token(self, name: str) -> str:
        attempt = self.node(name).attempt
        assert attempt is not None, f"{name} has no open attempt"
        return attempt.token

    def open(self) -> list[str]:
        """Return the names of nodes with an open attempt."""
        return [node.name for node in self.run.nodes if node.attempt is not None]

    def task(self, name: str) -> Task:
        """Return the last task sent for a node."""
        return next(effect.task for effect in reversed(self.sent) if self.run.nodes[effect.task.node].name == name)

    def order(self) -> list[str]:
        """Return the names of nodes in the order of their dispatches."""
        return [self.run.nodes[effect.task.node].name for effect in self.sent]

    def states(self) -> str:
        """Return the steps' statuses in one line, in order of definition."""
        return " ".join(str(node.status) for node in self.run.steps)

    # -- the promises ------------------------------------------------------------------------------

    def _check(
        self,
        before: Run,
        message: Message,
        decision: Advanced,
        dispatched: list[Dispatch],
        closed: list[ClosedAttempt],
    ) -> None:
        after = decision.run
        assert _stored_and_read(after) == after, "what is kept in memory must be what the database says"
        assert after.version == before.version + 1
        seqs = [transition.seq for transition in decision.transitions]
        assert seqs == list(range(before.last_seq + 1, after.last_seq + 1))
        over = before.status not in {RunStatus.NOT_STARTED, RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING}
        steps = slice(len(before.plan.steps))
        only_follow_up = before.status is after.status and before.nodes[steps] == after.nodes[steps]
        assert not over or isinstance(message, Retry | PatchNode | Approve | Reject) or only_follow_up

        was_open, is_open = _tokens(before), _tokens(after)
        new = {effect.task.token for effect in dispatched}
        assert len(new) == len(dispatched)
        assert not new & {effect.task.token for effect in self.sent}
        in_chains = {each.token for effect in self.sent for each in effect.task.chain}
        assert is_open - was_open - in_chains <= new <= is_open - was_open
        assert {effect.token for effect in closed} == was_open - is_open
        self._check_dispatched(after, dispatched)

        if after.status is RunStatus.RUNNING:
            assert is_open or any(
                node.calls
                or node.admission == WAITS
                or (node.retry_at is not None and self.wakes.get((node.idx, TimerKind.RETRY)) == node.retry_at)
                for node in after.nodes
            ), f"stuck after {message}"
        elif not isinstance(message, PatchNode):
            left = [node for node in after.nodes if node.attempt is not None or node.status is NodeStatus.RUNNING]
            assert all(node.kind == FOLLOW_UP for node in left)
            waiting = any(node.status is NodeStatus.WAITING for node in after.steps)
            assert waiting or after.status is not RunStatus.WAITING, f"waits for nobody after {message}"
            by_hand = over and isinstance(message, Approve | Reject)
            assert not waiting or after.status.active or by_hand, f"waits in a run that is over after {message}"

    def _check_dispatched(self, after: Run, dispatched: list[Dispatch]) -> None:
        plan = after.plan
        for effect in dispatched:
            task = effect.task
            assert effect.worker_id in {None, after.worker_id}
            if task.kind == "step" and not after.only_step:
                for parent in plan.depends[task.node]:
                    assert _lets_run(plan.steps[parent], after.nodes[parent]), f"{task.step.name} came too early"
        opened = [node for node in after.steps if node.attempt is not None]
        alone = plan.dag.placement == "stick" and after.worker_id is None
        assert not alone or len(opened) <= 1 or not dispatched, "others must wait until the run's worker is known"
        active = [node for node in after.steps if node.attempt is not None or node.status is NodeStatus.RUNNING]
        ahead = [node for node in opened if node.attempt and node.attempt.state is AttemptState.DISPATCHED]
        assert len(ahead) <= dispatching.MOST_AHEAD
        assert plan.dag.max_active_steps == 0 or len(active) <= plan.dag.max_active_steps


def _tokens(run: Run) -> set[str]:
    return {node.attempt.token for node in run.nodes if node.attempt is not None}


def _lets_run(parent: Step, node: Node) -> bool:
    """Whether a dependency on ``parent`` holds, written a second time and without the core's code."""
    rule = parent.continue_on
    return {
        NodeStatus.SUCCEEDED: True,
        NodeStatus.PARTIALLY_SUCCEEDED: True,
        NodeStatus.FAILED: rule.failure or node.output_matched or node.exit_code in rule.exit_code,
        NodeStatus.SKIPPED: rule.skipped,
    }.get(node.status, False)


_JSON_COLUMNS = ("params", "env", "outputs", "children", "approval")


def _stored_and_read(run: Run) -> Run:
    """Return what becomes of a run on its way through the database: a JSON column knows no tuples."""
    names = ("dag_name", "dag_run_id", "created_at", "called_from", "scheduled_at")
    row = run_row(run) | {"parent_params": run.asked_as} | {name: getattr(run, name) for name in names}
    rows = [row, *(node_row(run.run_key, node) for node in run.nodes)]
    # In one piece, because each call costs more than the few values in it.
    stored = json.loads(json.dumps([{name: row[name] for name in _JSON_COLUMNS if name in row} for row in rows]))
    row, *nodes = [row | columns for row, columns in zip(rows, stored, strict=True)]
    return run_from_rows(row, nodes, run.plan, (run.root_dag_name, run.root_dag_run_id))
