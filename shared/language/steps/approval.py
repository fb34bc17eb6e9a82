"""Steps that wait for the approval of a person (``type: hitl``): their ``config`` and its checks.

Source: docs/workflow-language.md#steps-that-wait-for-a-person.
"""

from shared.language.issues import did_you_mean
from shared.language.model import Dag, Step
from shared.language.yaml.fields import Fields, is_scalar

__all__ = [
    "APPROVAL",
    "check_approval",
    "declared_inputs",
    "missing_inputs",
    "required_inputs",
    "undeclared_inputs",
    "waits_for_approval",
]

APPROVAL = "hitl"


def waits_for_approval(dag: Dag) -> bool:
    """Return whether the dag has a step that waits for approval. Steps of dags that it calls do not count."""
    return any(step.type == APPROVAL for step in dag.steps)


def declared_inputs(step: Step) -> tuple[str, ...]:
    """Return the names of the inputs that the step declares: an approval may give a value for each."""
    return _names(step, "input")


def required_inputs(step: Step) -> tuple[str, ...]:
    """Return the names of the inputs for which an approval must give a value."""
    return _names(step, "required")


def missing_inputs(step: Step, given: dict[str, str]) -> list[str]:
    """Return the required inputs that are missing in ``given``, in declared order. An empty value is not missing."""
    return [name for name in required_inputs(step) if name not in given]


def undeclared_inputs(step: Step, given: dict[str, str]) -> list[str]:
    """Return the names in ``given`` that the step does not declare, sorted."""
    return sorted(given.keys() - set(declared_inputs(step)))


def _names(step: Step, field: str) -> tuple[str, ...]:
    names = step.config.get(field) or ()
    return (names,) if isinstance(names, str) else tuple(names)


def check_approval(fields: Fields, step: Step) -> None:
    """Report every problem in the config of a step that waits for approval."""
    place = "config" if "config" in fields else "executor" if "executor" in fields else "type"
    prompt = step.config.get("prompt")
    if prompt is not None and not is_scalar(prompt):
        fields.error(place, "config.prompt must be a string")
    for name in ("input", "required"):
        value = step.config.get(name) or []
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            fields.error(place, f"config.{name} must be a list of strings")
            return
        if unfit := [item for item in value if not item or "=" in item or "\0" in item]:
            fields.error(place, f"config.{name}: {unfit[0]!r} cannot be the name of a variable")
    for item in missing_inputs(step, dict.fromkeys(declared_inputs(step), "")):
        hint = did_you_mean(item, declared_inputs(step))
        fields.error(place, f'required field "{item}" is not in input list', hint=hint)
