"""What a step costs the core does not depend on how many steps its run has. Counted in function calls, not in time."""

import sys
from collections import deque
from typing import Any

import pytest

from services.scheduler.core.advance import Message, advance
from services.scheduler.core.decision import Advanced, Dispatch
from services.scheduler.core.messages import Begin
from services.scheduler.core.model import Run
from shared.contracts.events import AttemptFinished, AttemptStarted
from shared.contracts.tasks import Task
from shared.language.model import Dag
from shared.status import RunStatus
from tests.unit.scheduler.core.stage import T0, fresh, make_dag, step

_WIDE, _CHAIN, _FAN_IN, _LIMITED = "wide", "chain", "fan in", "limited"


def dag_of(shape: str, count: int) -> Dag:
    if shape == _CHAIN:
        return make_dag(*[step(f"s{idx}", *[f"s{idx - 1}"][: bool(idx)]) for idx in range(count)])
    steps = [step(f"s{idx}") for idx in range(count)]
    if shape == _FAN_IN:
        steps.append(step("last", *[each.name for each in steps]))
    return make_dag(*steps, placement="spread", max_active_steps=4 if shape == _LIMITED else 0)


def calls_per_step(dag: Dag) -> float:
    """Play a run; return how many functions the core calls for each step, in Python and in C."""
    run, calls = fresh(dag), 0
    messages: deque[Message] = deque([Begin("ann")])

    def count(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    def decide(run: Run, message: Message) -> Advanced:
        sys.setprofile(count)
        try:
            decision = advance(run, message, T0, "salt")
        finally:
            sys.setprofile(None)
        assert isinstance(decision, Advanced)
        return decision

    while messages:
        decision = decide(run, messages.popleft())
        run = decision.run
        for effect in decision.effects:
            if isinstance(effect, Dispatch):
                messages.extend(_reports(effect.task))
    assert run.status is RunStatus.SUCCEEDED
    return calls / len(dag.steps)


def _reports(task: Task) -> tuple[Message, Message]:
    facts: dict[str, Any] = {"token": task.token, "run_key": task.run_key, "node": task.node, "at": T0}
    facts |= {"worker_id": "w1", "incarnation": "i1"}
    return AttemptStarted(**facts), AttemptFinished(**facts, started_at=T0, outcome="succeeded", exit_code=0)


@pytest.mark.parametrize("shape", [_WIDE, _CHAIN, _FAN_IN, _LIMITED])
def test_a_step_costs_the_same_in_a_run_of_ten_times_as_many(shape: str) -> None:
    assert calls_per_step(dag_of(shape, 300)) <= 1.2 * calls_per_step(dag_of(shape, 30))
