"""Which step or handler a worker begins itself when the one before it in a chain has ended (ADR 63)."""

from datetime import datetime
from typing import Any

from shared.contracts.events import AttemptFinished
from shared.contracts.prepared import PreparedValues
from shared.contracts.tasks import PREPARE, STEP, FollowingStep, StepRef, Task
from shared.language.model import Step

__all__ = ["GO_ON_S", "next_task"]

GO_ON_S = 2.0
"""How long a chain may hold its slot. Then other runs get their turn; a task for each later step costs little."""


def next_task(task: Task, ended: AttemptFinished, *, held_s: float, now: datetime) -> Task | None:
    """Return the next task of the chain, or ``None`` if a scheduler has to decide what follows.

    ``task`` has ended as ``ended`` says; ``held_s`` is for how long the chain has held its slot.
    """
    if not task.chain or ended.outcome != "succeeded" or held_s > GO_ON_S:
        return None
    following, *rest = task.chain
    facts = {
        **dict(following),
        "number": 1,
        "dispatched_at": now,
        "chain": tuple(rest),
        **_learned(task, ended, following),
    }
    return task.model_copy(update=facts)


def _learned(task: Task, ended: AttemptFinished, following: FollowingStep) -> dict[str, Any]:
    """Return what the next task has of this one: its outputs, and what references to its id read.

    If this one prepared the run, what it evaluated. Nobody sees the outputs of handlers. The first step sees none at
    all, unlike the init handler before it, which sees all that a retry has kept.
    """
    if task.kind == STEP:
        refs = {task.step.id: _ref(task.step, ended)} if task.step.id in task.refs else {}
        return {"outputs": (*task.outputs, *ended.outputs.items()), "refs": task.refs | refs}
    kept: dict[str, Any] = {"outputs": ()} if following.kind == STEP else {}
    values = PreparedValues.from_outputs(ended.outputs) if task.kind == PREPARE else None
    if values is None or task.env or task.params:
        return kept
    given = task.params_json if values.params_json is None else values.params_json
    return {**kept, "env": values.env, "params": values.params, "params_json": given}


def _ref(step: Step, ended: AttemptFinished) -> StepRef:
    output = ended.outputs.get(step.output.name) if step.output else None
    return StepRef(exit_code=ended.exit_code, stdout=ended.stdout, stderr=ended.stderr, output=output)
