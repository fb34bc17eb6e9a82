"""Any dag in any world: the core's promises hold, and without faults the result is the language's.

``Stage`` checks at every step: versions, gap-free transitions, tokens that never repeat, one open
attempt a node, no step before its dependencies, nothing stuck, ended runs left by a retry only.
``World`` checks at every start of a command that its attempt is open and has not run before.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.core import dispatching
from services.scheduler.core.decision import Ignored
from services.scheduler.core.messages import Requested
from shared.contracts.events import AttemptFinished, AttemptRequested, AttemptStarted, Doubt, Outcome
from shared.language.model import Dag, Handler, Step
from shared.status import AttemptState, NodeStatus, RunStatus
from tests.unit.scheduler.core.invented_dags import dags
from tests.unit.scheduler.core.stage import EXIT_CODES, Stage, make_dag, step
from tests.unit.scheduler.core.world import Draw, World

_OUTCOMES: tuple[Outcome, ...] = ("succeeded", "succeeded", "succeeded", "failed", "failed", "skipped", "timed_out")
OUTCOMES = st.sampled_from(_OUTCOMES)


def choice_of(data: st.DataObject) -> Draw[Any]:
    """Return a function that draws one of several."""

    def draw(among: Sequence[Any]) -> Any:
        # An index, because Hypothesis keeps this strategy, but would make a new one of the things themselves.
        return among[data.draw(st.integers(0, len(among) - 1))]

    return draw


def outcomes_of(data: st.DataObject) -> Callable[[str, int], Outcome]:
    """Return a function that gives the end of each try: random at the first call, then always the same."""
    known: dict[tuple[str, int], Outcome] = {}

    def outcome(name: str, number: int) -> Outcome:
        if name == "prepare":
            return "succeeded"
        if (name, number) not in known:
            known[name, number] = data.draw(OUTCOMES, label=f"{name} #{number}")
        return known[name, number]

    return outcome


def verdicts_of(data: st.DataObject, verdicts: tuple[bool, ...]) -> Callable[[str], bool]:
    """Return a function that gives a user's verdict on each waiting step, drawn as in ``outcomes_of``."""
    known: dict[str, bool] = {}
    verdict = st.sampled_from(verdicts)

    def allows(name: str) -> bool:
        if name not in known:
            known[name] = data.draw(verdict, label=f"{name} allowed")
        return known[name]

    return allows


@settings(max_examples=250, deadline=None)
@given(data=st.data(), dag=dags(limits=(0, 0, 30)), prepare=st.booleans(), faults=st.integers(0, 12))
def test_the_cores_promises_hold_in_any_history(data: st.DataObject, dag: Dag, prepare: bool, faults: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatching, "MOST_AHEAD", data.draw(st.sampled_from([1, 2, 200]), label="most ahead"))
        _play_any_history(data, dag, prepare=prepare, faults=faults)


def _play_any_history(data: st.DataObject, dag: Dag, *, prepare: bool, faults: int) -> None:
    stage = Stage.begun(dag, prepare=prepare)
    allows = verdicts_of(data, (True, True, True, False))
    world = World(stage, choice_of(data), outcomes_of(data), faults, allows)
    world.run()
    if data.draw(st.booleans(), label="retry"):
        names = ["", *(step.name for step in dag.steps)]
        stage.retry(data.draw(st.sampled_from(names), label="which"))
        world.faults = faults // 2
        world.run()
    world.clear_up()

    assert not stage.run.status.active
    assert stage.run.finished_at is not None
    assert {transition.seq for transition in stage.transitions} == set(range(1, stage.run.last_seq + 1))
    assert {one.token for one in stage.closed} == {effect.task.token for effect in stage.sent}
    assert len(stage.closed) == len(stage.sent)
    assert len(world.ledger) == len(set(world.ledger))
    withdrawn = {one.token for one in stage.closed if one.state is AttemptState.WITHDRAWN}
    assert not withdrawn & set(world.ledger) - world.stopped(), "an attempt was taken back and ran all the same"
    assert set(world.ledger) <= {one.token for one in stage.executions if one.begun}
    for effect in stage.sent:
        _assert_refused(stage, effect.task.token, effect.task.node)


@settings(max_examples=250, deadline=None)
@given(data=st.data(), placement=st.sampled_from(["stick", "spread"]), faults=st.integers(3, 14))
def test_a_step_without_a_policy_runs_at_most_once_whatever_happens_to_its_task(
    data: st.DataObject, placement: str, faults: int
) -> None:
    stage = Stage.begun(make_dag(step("a"), placement=placement))
    world = World(stage, choice_of(data), outcomes_of(data), faults)
    world.run()
    world.clear_up()

    assert len(world.ledger) <= 1


def _assert_refused(stage: Stage, token: str, node: int) -> None:
    facts: dict[str, Any] = {
        "token": token,
        "run_key": "run-1",
        "node": node,
        "worker_id": "w1",
        "incarnation": "w1/1",
        "at": stage.now,
    }
    before, told = stage.run, len(stage.halts)
    assert isinstance(stage.tell(AttemptStarted(**facts)), Ignored)
    assert [halt.revoked for halt in stage.halts[told:]] == [True]
    request = AttemptRequested(**facts, doubt=Doubt.REDELIVERED)
    assert isinstance(stage.tell(Requested(request, all_heard=True)), Ignored)
    assert [halt.revoked for halt in stage.halts[told:]] == [True, True]
    assert isinstance(stage.tell(AttemptFinished(**facts, started_at=stage.now, outcome="failed")), Ignored)
    assert stage.run is before


@settings(max_examples=150, deadline=None)
@given(data=st.data(), dag=dags(least=1), prepare=st.booleans())
def test_without_faults_the_result_is_what_the_language_says(data: st.DataObject, dag: Dag, prepare: bool) -> None:
    outcome = outcomes_of(data)
    stage = Stage.begun(dag, prepare=prepare)
    World(stage, choice_of(data), outcome, faults=0).run()

    states, status, handlers = Language(dag, outcome).result()
    last = [effect.task for effect in stage.sent if effect.task.run_attempt == stage.run.run_attempt]
    found = {node.name: str(node.status) for node in stage.run.steps}
    assert {name: found[name] for name, state in states.items() if state != EITHER} == {
        name: state for name, state in states.items() if state != EITHER
    }
    assert str(stage.run.status) == status
    assert [task.step.name for task in last if task.kind == "handler"] == handlers
    waits = sum(change.node is None and change.became == "waiting" for change in stage.transitions)
    asked = {change.node for change in stage.transitions if change.node is not None and change.became == "waiting"}
    assert stage.run.run_attempt == waits + 1 <= len(asked) + 1
    assert all(dag.steps[idx].type == "hitl" and stage.run.nodes[idx].approval for idx in asked)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), dag=dags(least=1))
def test_a_rejection_rejects_the_run_and_keeps_all_after_it_from_running(data: st.DataObject, dag: Dag) -> None:
    stage = Stage.begun(dag)
    allows = verdicts_of(data, (True, False))
    World(stage, choice_of(data), outcomes_of(data), faults=0, allows=allows).run()

    rejected = [node.idx for node in stage.run.steps if node.status is NodeStatus.REJECTED]
    assert (stage.run.status is RunStatus.REJECTED) == bool(rejected)
    for idx in rejected:
        after = [stage.run.nodes[below] for below in stage.run.plan.descendants(idx)]
        assert all(node.started_at is None for node in after)


EITHER = "aborted or skipped"
"""The outcome that became known first decides which. A dependency failed, so the run fails in both cases."""


class Language:
    """What the language says of retries, dependencies, handlers and the final status, as a recursion over outcomes."""

    def __init__(self, dag: Dag, outcome: Callable[[str, int], Outcome]) -> None:
        self.dag = dag
        self.outcome = outcome
        self.known: dict[str, tuple[str, int]] = {}

    def result(self) -> tuple[dict[str, str], str, list[str]]:
        """Return the steps' statuses, the run's status, and the handlers in the order in which they run."""
        handlers = []
        if Handler.INIT in self.dag.handlers:
            handlers.append("onInit")
            if self._failed("onInit"):
                closing = [name for name in ("onCancel", "onExit") if Handler(name) in self.dag.handlers]
                return {step.name: "not_started" for step in self.dag.steps}, "aborted", handlers + closing
        states = {step.name: self._step(step)[0] for step in self.dag.steps}
        status = self._status(states)
        closing_name = "onFailure" if status == "failed" else "onSuccess"
        if Handler(closing_name) in self.dag.handlers:
            handlers.append(closing_name)
            if self._failed(closing_name) and status == "succeeded":
                status = "failed"
        if Handler.EXIT in self.dag.handlers:
            handlers.append("onExit")
            if self._failed("onExit") and status == "succeeded":
                status = "failed"
        return states, status, handlers

    def _failed(self, handler: str) -> bool:
        return self.outcome(handler, 1) in {"failed", "timed_out"}

    def _status(self, states: dict[str, str]) -> str:
        failures = [step for step in self.dag.steps if states[step.name] == "failed"]
        if EITHER in states.values() or any(not self._tolerated(step) for step in failures):
            return "failed"
        if not failures:
            return "succeeded"
        partly = "succeeded" in states.values() and any(not step.continue_on.mark_success for step in failures)
        return "partially_succeeded" if partly else "failed"

    def _tolerated(self, step: Step) -> bool:
        return step.continue_on.failure or self._step(step)[1] in step.continue_on.exit_code

    def _step(self, step: Step) -> tuple[str, int]:
        if step.name not in self.known:
            blocks = {self._blocks(self.dag.step(name)) for name in step.depends} - {""}
            if not blocks:
                self.known[step.name] = self._tries(step)
            else:
                self.known[step.name] = (blocks.pop() if len(blocks) == 1 else EITHER, 0)
        return self.known[step.name]

    def _blocks(self, parent: Step) -> str:
        state, _ = self._step(parent)
        if state == "failed":
            return "" if self._tolerated(parent) else "aborted"
        if state == "skipped":
            return "" if parent.continue_on.skipped else "skipped"
        return "" if state == "succeeded" else state

    def _tries(self, step: Step) -> tuple[str, int]:
        policy = step.retry_policy
        number = 1
        while True:
            outcome = self.outcome(step.name, number)
            code = EXIT_CODES[outcome]
            if outcome in {"succeeded", "skipped"}:
                return outcome, 0
            left = policy is not None and number <= int(policy.limit)
            if (
                policy is None
                or not left
                or outcome == "timed_out"
                or (policy.exit_code and code not in policy.exit_code)
            ):
                break
            number += 1
        rule = step.continue_on
        if rule.mark_success and outcome != "timed_out" and (rule.failure or code in rule.exit_code):
            return "succeeded", code
        return "failed", code
