"""Any dag with repetitions, retries, called runs, conditions and handlers ends as a naive model says.

The model runs one step at a time in the order of definition and knows nothing of attempts, tokens or
timers; the core is driven the same way (``maxActiveSteps: 1``), so every status can be compared.
It is written from the documentation of the language and shares no code with the core.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.core.child_states import UNDER_WAY
from services.scheduler.core.messages import ChildrenSeen
from services.scheduler.core.model import Node
from shared.contracts.events import ChildCall
from shared.language.model import (
    Condition,
    ContinueOn,
    Dag,
    Handler,
    Parallel,
    RepeatMode,
    RepeatPolicy,
    RetryPolicy,
    Step,
)
from shared.status import RunStatus
from tests.unit.scheduler.core.stage import Stage, make_dag, step

GOOD = {"succeeded", "partially_succeeded"}


@dataclass(frozen=True)
class Execution:
    """How one execution ends, with its worker's report on policies. ``children`` are the ends of a call's sub-runs."""

    outcome: str = "succeeded"
    code: int = 0
    printed: bool = False
    met: bool | None = None
    children: tuple[str, ...] = ()


World = Callable[[Step, int], Execution]

# Made once: Hypothesis examines each new strategy before it draws from it.
_CODES = st.sampled_from([(), (1,), (3,), (1, 3)])
_OUTPUT = st.sampled_from([(), ("WARN",)])
_REPEAT = st.sampled_from(RepeatMode)
_CONDITION = st.sampled_from([None, Condition(condition="test -f x")])
_HANDLERS = st.sets(st.sampled_from([one for one in Handler if one is not Handler.WAIT]))
_PARENTS = [st.lists(st.integers(0, number - 1), max_size=3) if number else st.just([]) for number in range(6)]
_ENDS = st.sampled_from([("succeeded", 0), ("succeeded", 0), ("failed", 1), ("failed", 3), ("timed_out", 124)])
_CHILDREN = st.sampled_from(["succeeded", "succeeded", "partially_succeeded", "failed", "aborted"])
_MET = st.sampled_from([True, False, None])


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """Random ``continueOn``, ``retryPolicy`` and ``repeatPolicy`` of a step; retries and repetitions are limited."""
    facts: dict[str, Any] = {
        "continue_on": ContinueOn(
            failure=draw(st.booleans()),
            skipped=draw(st.booleans()),
            exit_code=draw(_CODES),
            output=draw(_OUTPUT),
            mark_success=draw(st.booleans()),
        )
    }
    if draw(st.booleans()):
        facts["retry_policy"] = RetryPolicy(limit=draw(st.integers(0, 2)), interval_sec=0, exit_code=draw(_CODES))
    if draw(st.booleans()):
        facts["repeat_policy"] = RepeatPolicy(
            repeat=draw(_REPEAT),
            condition=draw(_CONDITION),
            exit_code=draw(_CODES),
            limit=draw(st.integers(1, 4)),
        )
    return facts


@st.composite
def dags(draw: st.DrawFn) -> Dag:
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 6))):
        names = [f"s{parent}" for parent in draw(_PARENTS[number])]
        facts = draw(policies())
        if draw(st.integers(0, 3)) == 0:
            items = tuple("abc"[: draw(st.integers(1, 3))])
            parallel = Parallel(items=items, max_concurrent=draw(st.integers(1, 2)))
            facts |= {"type": "parallel", "call": "sub", "parallel": parallel}
        elif draw(st.integers(0, 3)) == 0:
            facts |= {"type": "dag", "call": "sub"}
        steps.append(step(f"s{number}", *dict.fromkeys(names), **facts))
    handlers = draw(_HANDLERS)
    return make_dag(*steps, handlers=sorted(handlers, key=list(Handler).index), max_active_steps=1)


def world_of(data: st.DataObject) -> World:
    """Return a function that gives the end of each execution: random at the first call, then always the same."""
    known: dict[tuple[str, int], Execution] = {}

    def execution(one: Step, number: int) -> Execution:
        key = (one.name, number)
        if key not in known:
            # Preconditions are asked at the launch only.
            skipped = number == 1 and data.draw(st.integers(0, 4)) == 0 and not one.name.startswith("on")
            outcome, code = ("skipped", 0) if skipped else data.draw(_ENDS, label=f"{one.name} #{number}")
            met = data.draw(_MET)
            ended: tuple[str, ...] = ()
            if one.call and not skipped:
                count = len(one.parallel.items) if one.parallel else 1
                ended = tuple(data.draw(_CHILDREN) for _ in range(count))
                outcome, code = "succeeded", 0
            failed = bool(set(ended) - GOOD) or outcome == "failed"
            printed = failed and bool(one.continue_on.output) and data.draw(st.booleans())
            known[key] = Execution(outcome, code, printed, met, ended)
        return known[key]

    return execution


class Model:
    """The naive model of a run."""

    def __init__(self, dag: Dag, world: World, *, unmet: bool) -> None:
        self.dag, self.world = dag, world
        self.states = {one.name: "not_started" for one in dag.steps}
        self.tolerated: dict[str, bool] = {}
        self.handlers: list[str] = []
        self.status = self._run(unmet=unmet)

    def _run(self, *, unmet: bool) -> str:
        if unmet or not self._handler(Handler.INIT):
            return self._closed("aborted")
        while (one := self._next()) is not None:
            self.states[one.name] = self._execute(one)
        failed = [name for name, state in self.states.items() if state == "failed"]
        if any(not self.tolerated[name] for name in failed):
            return self._closed("failed")
        partly = (
            any(not self.dag.step(name).continue_on.mark_success for name in failed)
            or "partially_succeeded" in self.states.values()
        )
        if partly and GOOD & set(self.states.values()):
            return self._closed("partially_succeeded")
        # Nothing that succeeded makes up for what failed.
        return self._closed("failed" if failed else "succeeded")

    def _closed(self, status: str) -> str:
        first = {"aborted": Handler.ABORT, "failed": Handler.FAILURE}.get(status, Handler.SUCCESS)
        if not self._handler(first) and status == "succeeded":
            status = "failed"
        if not self._handler(Handler.EXIT) and status == "succeeded":
            status = "failed"
        return status

    def _handler(self, handler: Handler) -> bool:
        """Run a handler if there is one; return whether it did not fail."""
        if handler not in self.dag.handlers:
            return True
        self.handlers.append(handler.value)
        return self.world(self.dag.handlers[handler], 1).outcome == "succeeded"

    def _next(self) -> Step | None:
        """Set the status of steps that cannot run any more, and return the first step that may run."""
        marked = True
        while marked:
            marked = False
            for one in self.dag.steps:
                verdicts = [verdict for name in one.depends if (verdict := self._verdict(name)) not in {"", "wait"}]
                if self.states[one.name] == "not_started" and verdicts:
                    self.states[one.name] = verdicts[-1]
                    marked = True
        for one in self.dag.steps:
            if self.states[one.name] == "not_started" and not any(self._verdict(name) for name in one.depends):
                return one
        return None

    def _verdict(self, name: str) -> str:
        """Return the effect of a dependency on its dependents: none, ``wait``, or a status."""
        state = self.states[name]
        if state == "not_started":
            return "wait"
        if state in GOOD or (state == "failed" and self.tolerated[name]):
            return ""
        if state == "skipped":
            return "" if self.dag.step(name).continue_on.skipped else "skipped"
        return "aborted"

    def _execute(self, one: Step) -> str:
        number = retries = done = 0
        printed = False
        while True:
            number += 1
            execution = self.world(one, number)
            if execution.outcome == "skipped":
                return "skipped"
            state, code = _ended(execution)
            printed = printed or execution.printed
            retry, repeat = one.retry_policy, one.repeat_policy
            if state == "failed" and execution.outcome != "timed_out" and _tries_again(retry, retries, code):
                retries += 1
                continue
            done += 1
            if repeat is not None and done < repeat.limit and _again(repeat, state, code, execution.met):
                continue
            rule = one.continue_on
            self.tolerated[one.name] = rule.failure or printed or code in rule.exit_code
            forgiven = rule.mark_success and self.tolerated[one.name] and execution.outcome != "timed_out"
            return "succeeded" if state == "failed" and forgiven else state


def _ended(execution: Execution) -> tuple[str, int]:
    if execution.children:
        if set(execution.children) - GOOD:
            return "failed", 1
        return ("partially_succeeded" if "partially_succeeded" in execution.children else "succeeded"), 0
    return ("succeeded" if execution.outcome == "succeeded" else "failed"), execution.code


def _tries_again(policy: RetryPolicy | None, retries: int, code: int) -> bool:
    if policy is None or retries >= int(policy.limit):
        return False
    return not policy.exit_code or code in policy.exit_code


def _again(policy: RepeatPolicy, state: str, code: int, met: bool | None) -> bool:
    if policy.condition is not None:
        holds = met
    else:
        holds = code in policy.exit_code if policy.exit_code else state != "failed"
    return holds is not None and holds == (policy.repeat is RepeatMode.WHILE)


def drive(stage: Stage, world: World, *, unmet: bool) -> None:
    """End each attempt as ``world`` says, until the run has ended."""
    executions: Counter[str] = Counter()
    while stage.run.status is RunStatus.RUNNING:
        calling = [node for node in stage.run.nodes if node.calls]
        if calling:
            ends = world(stage.run.plan.steps[calling[0].idx], executions[calling[0].name]).children
            _end_children(stage, calling[0], ends)
            continue
        (name,) = stage.open()
        if name == "prepare":
            stage.make(name, "skipped" if unmet else "succeeded")
            continue
        node = stage.node(name)
        one = stage.run.plan.steps[node.idx]
        result = stage.task(name).options.get("result")
        executions[name] += result is None
        execution = world(one, executions[name])
        stage.start(name)
        if execution.children and result is None:
            calls = tuple(ChildCall(dag="sub", params=str(place)) for place in range(len(execution.children)))
            stage.finish(name, children=calls)
            continue
        stage.finish(
            name,
            "failed" if result and result["failed"] else execution.outcome,  # type: ignore[arg-type]
            execution.code,
            continue_output_matched=execution.printed,
            repeat_condition_met=execution.met,
        )


def _end_children(stage: Stage, node: Node, ends: Sequence[str]) -> None:
    asked = {child.run_id: ends[int(child.params)] for child in node.children if child.state == UNDER_WAY}
    stage.tell(ChildrenSeen(node.idx, asked, {}))


@settings(max_examples=250, deadline=None)
@given(data=st.data(), dag=dags(), prepare=st.booleans())
def test_a_run_ends_as_the_naive_model_says(data: st.DataObject, dag: Dag, prepare: bool) -> None:
    world = world_of(data)
    unmet = prepare and data.draw(st.integers(0, 5), label="precondition") == 0
    model = Model(dag, world, unmet=unmet)
    stage = Stage.begun(dag, prepare=prepare)
    drive(stage, world, unmet=unmet)

    assert {node.name: str(node.status) for node in stage.run.steps} == model.states
    assert str(stage.run.status) == model.status
    ran = [effect.task.step.name for effect in stage.sent if effect.task.kind == "handler"]
    assert ran == model.handlers
