"""Read ``steps``: a list of steps and of groups (lists) of steps, or a map from names to steps."""

from typing import Any

from shared.language.issues import Issues, Place
from shared.language.model import DagType, Step
from shared.language.steps.graph import (
    MAX_IMPLICIT_EDGES,
    StepGroup,
    check_acyclic,
    check_names,
    give_names,
    link_groups,
    resolve_depends,
)
from shared.language.steps.step import STEP_KEYS, DagDefaults, PartialStep, check_step, read_step, step_name_problem
from shared.language.yaml.fields import Fields
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["read_steps"]

_MAX_STEPS = 10_000


def read_steps(fields: Fields, dag_type: DagType, defaults: DagDefaults) -> tuple[Step, ...]:
    """Return the steps in document order. Every step has a name, and ``depends`` holds names only.

    A step with errors is returned with the fields that could be read.
    """
    value = fields.get("steps")
    if value is None:
        return ()
    if isinstance(value, YamlMap):
        entries = _from_map(fields, value, defaults)
        chain = False
    elif isinstance(value, YamlList):
        entries = _from_list(fields, value, defaults)
        chain = dag_type is DagType.CHAIN
    else:
        fields.error("steps", "steps must be an array or a map")
        return ()
    partials = [partial for entry in entries for partial in entry]
    if len(partials) > _MAX_STEPS:
        fields.error("steps", f"a DAG may have at most {_MAX_STEPS} steps, but this one has {len(partials)}")
        return ()
    give_names(entries)
    check_names(partials)
    resolve_depends(partials)
    if chain and not link_groups(entries):
        fields.error("steps", f"the groups of parallel steps need more than {MAX_IMPLICIT_EDGES} dependencies in all")
        return ()
    steps = tuple(Step(**partial.values) for partial in partials)
    for partial, step in zip(partials, steps, strict=True):
        check_step(partial, step, defaults)
    check_acyclic(partials)
    return steps


def _from_map(fields: Fields, mapping: YamlMap, defaults: DagDefaults) -> list[StepGroup]:
    entries = []
    for key, value in mapping.items():
        path = f"{fields.sub('steps')}.{key}"
        partial = _step(fields.issues, path, mapping.key_at[key], value, defaults)
        if partial is not None:
            if partial.values["name"] not in ("", key.strip()):
                partial.fields.warn("name", "name is ignored: in a map of steps, each key is the name of its step")
            partial.values["name"] = key.strip()
            if problem := step_name_problem(key):
                fields.issues.error(problem, path, mapping.key_at[key])
            entries.append([partial])
    return entries


def _from_list(fields: Fields, items: YamlList, defaults: DagDefaults) -> list[StepGroup]:
    entries = []
    for index, item in enumerate(items):
        path = f"{fields.sub('steps')}[{index}]"
        partials: list[PartialStep | None]
        if isinstance(item, YamlList):
            partials = [
                _step(fields.issues, f"{path}[{inner}]", item.item_at[inner], member, defaults)
                for inner, member in enumerate(item)
            ]
        else:
            partials = [_step(fields.issues, path, items.item_at[index], item, defaults)]
        # An entry without a valid step is kept too, because generated names contain the position of the entry.
        entries.append([partial for partial in partials if partial is not None])
    return entries


def _step(issues: Issues, path: str, at: Place, value: Any, defaults: DagDefaults) -> PartialStep | None:
    if isinstance(value, str):
        mapping = YamlMap(at)
        mapping["command"] = value
        mapping.key_at["command"] = mapping.value_at["command"] = at
        value = mapping
    if not isinstance(value, YamlMap):
        issues.error("invalid step data", path, at, hint="a step is a command text or a map")
        return None
    return read_step(Fields(issues, value, path, STEP_KEYS), defaults)
