"""What a run would do, step by step. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from services.cli.output.tables import table
from shared.language.expansion.params_syntax import params_text as shown_params
from shared.language.expansion.resolve import resolve_params
from shared.language.model import Dag, Handler, Step
from shared.language.steps.executor_types import COMMAND_TYPES

__all__ = ["PlannedStep", "plan_json", "plan_lines", "stages_of"]

_STAGES = {Handler.INIT: "begin", Handler.WAIT: "wait"}
"""When handlers run that do not run at the end."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """What a step would do. ``stage`` is its number, or for a handler ``begin``, ``wait`` or ``end``."""

    stage: str
    name: str
    after: tuple[str, ...]
    does: str
    notes: str


def plan_json(dags: tuple[Dag, ...], params: str) -> dict[str, Any]:
    """Return the plan of the first DAG with these parameters, and of those that its steps call."""
    planned = [{"name": dag.name, "steps": [asdict(step) for step in _planned_steps(dag)]} for dag in dags]
    return {"params": dict(resolve_params(dags[0], params)[0]), "dags": planned}


def plan_lines(
    dags: tuple[Dag, ...], params: str, times: Mapping[str, Mapping[str, tuple[str, ...]]] | None = None
) -> Iterator[str]:
    """Yield the plan of the first DAG with these parameters, then of those that its steps call.

    ``times``: how long the steps of each DAG usually take, and at most, by the names of DAG and step.
    """
    head = ("STAGE", "STEP", "AFTER", "DOES", "NOTES", *(() if times is None else ("MEDIAN", "P95")))
    for position, dag in enumerate(dags):
        yield f"{dag.name}{f': {dag.description}' if dag.description else ''}"
        given = params if position == 0 else ""
        if pairs := resolve_params(dag, given)[0]:
            yield f"  params: {shown_params(pairs)}"
        if conditions := ", ".join(each.condition for each in dag.preconditions):
            yield f"  only if: {conditions}"
        took = None if times is None else times.get(dag.name, {})
        rows = [
            (step.stage, step.name, ", ".join(step.after), step.does, step.notes)
            + (() if took is None else took.get(step.name, ("", "")))
            for step in _planned_steps(dag)
        ]
        yield from (f"  {line}" for line in table(head, rows))


def _planned_steps(dag: Dag) -> list[PlannedStep]:
    """Return the steps of a checked DAG by stages, after the handler that begins and before the others."""
    stages = stages_of(dag)
    ordered = sorted(dag.steps, key=lambda step: stages[step.name])
    steps = [(str(stages[step.name]), step.name, tuple(step.depends), step) for step in ordered]
    handlers = [(_STAGES.get(handler, "end"), str(handler), (), step) for handler, step in dag.handlers.items()]
    rows = sorted([*steps, *handlers], key=lambda row: row[0] != "begin")
    return [PlannedStep(stage, name, after, _what(step), _how(step)) for stage, name, after, step in rows]


def stages_of(dag: Dag) -> dict[str, int]:
    """Return for each step the length of the longest way to it, from 1. The steps of a checked DAG have no cycle."""
    names = {key: step.name for step in dag.steps for key in (step.name, step.id) if key}
    after = {step.name: [names.get(each, each) for each in step.depends] for step in dag.steps}
    stages: dict[str, int] = {}
    while len(stages) < len(after):
        ready = [
            name for name, before in after.items() if name not in stages and all(each in stages for each in before)
        ]
        for name in ready:
            stages[name] = 1 + max((stages[each] for each in after[name]), default=0)
    return stages


def _what(step: Step) -> str:
    if step.call:
        fan_out = " for each item" if step.parallel else ""
        return f"calls {step.call}{fan_out}{f' with {step.params}' if step.params else ''}"
    text = "; ".join(each.text for each in step.commands) or step.script.strip()
    first, *rest = text.split("\n")
    kind = f"[{step.type}] " if step.type not in COMMAND_TYPES else ""
    return f"{kind}{first}{' …' if rest else ''}"


def _how(step: Step) -> str:
    notes = []
    if step.preconditions:
        notes.append(f"only if {', '.join(each.condition for each in step.preconditions)}")
    if step.retry_policy is not None:
        notes.append(f"up to {step.retry_policy.limit} retries")
    if step.repeat_policy is not None:
        notes.append("repeats")
    if step.timeout_sec:
        notes.append(f"at most {step.timeout_sec:g} s")
    if step.output is not None:
        notes.append(f"output {step.output.name}")
    return "; ".join(notes)
