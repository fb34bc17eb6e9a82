"""Which step a worker begins itself when a step of a chain has ended (ADR 63)."""

from datetime import datetime

from shared.contracts.events import AttemptFinished
from shared.contracts.tasks import StepRef, Task
from shared.language.model import Step

__all__ = ["GO_ON_S", "next_task"]

GO_ON_S = 2.0
"""How long a chain may hold its slot. Then other runs get their turn, and what a step costs besides hardly matters."""


def next_task(task: Task, ended: AttemptFinished, *, held_s: float, now: datetime) -> Task | None:
    """Return the task of the next step of the chain, or ``None`` if a scheduler has to decide what follows.

    ``task`` has ended as ``ended`` says; ``held_s`` is for how long the chain has held its slot. The next step gets the
    outputs of this one, and can refer to it by its id.
    """
    if not task.following or ended.outcome != "succeeded" or held_s > GO_ON_S:
        return None
    following, *rest = task.following
    facts = {
        **dict(following),
        "number": 1,
        "dispatched_at": now,
        "following": tuple(rest),
        "outputs": (*task.outputs, *ended.outputs.items()),
        "refs": task.refs | ({task.step.id: _ref(task.step, ended)} if task.step.id in task.refs else {}),
    }
    return task.model_copy(update=facts)


def _ref(step: Step, ended: AttemptFinished) -> StepRef:
    output = ended.outputs.get(step.output.name) if step.output else None
    return StepRef(exit_code=ended.exit_code, stdout=ended.stdout, stderr=ended.stderr, output=output)
