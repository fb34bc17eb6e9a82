"""Read the steps of a dag as a whole: names, ids, implicit edges, and the checks of the graph."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shared.language.issues import Issues, Place, did_you_mean
from shared.language.model import DagType, Handler, Step
from shared.language.steps.approval import APPROVAL
from shared.language.steps.step import STEP_KEYS, DagDefaults, PartialStep, check_step, has_nothing_to_run, read_step
from shared.language.yaml.fields import Fields, Vocabulary
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["read_handlers", "read_steps"]

_HANDLERS = Vocabulary("init", "success", "failure", "abort", "cancel", "exit", "wait")
_HANDLER_OF = {
    "init": Handler.INIT,
    "success": Handler.SUCCESS,
    "failure": Handler.FAILURE,
    "abort": Handler.ABORT,
    "cancel": Handler.ABORT,
    "exit": Handler.EXIT,
    "wait": Handler.WAIT,
}
_MAX_STEPS = 10_000
_MAX_IMPLICIT_EDGES = 500_000
_IGNORED_ON_HANDLERS = {
    "depends": "depends",
    "retryPolicy": "retry_policy",
    "repeatPolicy": "repeat_policy",
    "continueOn": "continue_on",
}


@dataclass(slots=True)
class _Entry:
    """One entry of ``steps``: a step, or a group whose members do not depend on each other."""

    drafts: list[PartialStep]


def read_steps(fields: Fields, dag_type: DagType, defaults: DagDefaults) -> tuple[Step, ...]:
    """Return the steps in document order, with names given and ``depends`` resolved to names.

    Steps with errors are returned as far as they could be read.
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
    drafts = [draft for entry in entries for draft in entry.drafts]
    if len(drafts) > _MAX_STEPS:
        fields.error("steps", f"a DAG may have at most {_MAX_STEPS} steps (value: {len(drafts)})")
        return ()
    _give_names(entries)
    _check_names(drafts)
    _resolve_depends(drafts)
    if chain and not _link(entries):
        fields.error("steps", f"the groups would need more than {_MAX_IMPLICIT_EDGES} dependencies between them")
        return ()
    steps = tuple(Step(**draft.values) for draft in drafts)
    for draft, step in zip(drafts, steps, strict=True):
        check_step(draft, step, defaults)
    _check_acyclic(drafts)
    return steps


def _from_map(fields: Fields, mapping: YamlMap, defaults: DagDefaults) -> list[_Entry]:
    entries = []
    for key, value in mapping.items():
        path = f"{fields.sub('steps')}.{key}"
        draft = _step(fields.issues, path, mapping.key_at[key], value, defaults)
        if draft is not None:
            if draft.values["name"] not in ("", key.strip()):
                draft.fields.warn("name", "name is ignored: the step has the name that is its key")
            draft.values["name"] = key.strip()
            if len(key.encode("utf-8", "replace")) > 40:
                message = f"step name must be less than 40 characters (value: {key[:60]})"
                fields.issues.error(message, path, mapping.key_at[key])
            entries.append(_Entry([draft]))
    return entries


def _from_list(fields: Fields, items: YamlList, defaults: DagDefaults) -> list[_Entry]:
    entries = []
    for index, item in enumerate(items):
        path = f"{fields.sub('steps')}[{index}]"
        drafts: list[PartialStep | None]
        if isinstance(item, YamlList):
            drafts = [
                _step(fields.issues, f"{path}[{inner}]", item.item_at[inner], member, defaults)
                for inner, member in enumerate(item)
            ]
        else:
            drafts = [_step(fields.issues, path, items.item_at[index], item, defaults)]
        # An entry without a usable step keeps its place: generated names count entries.
        entries.append(_Entry([draft for draft in drafts if draft is not None]))
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


def _give_names(entries: Iterable[_Entry]) -> None:
    """Name the nameless ``<prefix>_<n>``, n from the 1-based place, past every name already taken."""
    entries = list(entries)
    # Where to go on from a number that was found taken: many entries walk the same stretch.
    skip: dict[tuple[str, int], int] = {}
    taken = {draft.values["name"] for entry in entries for draft in entry.drafts}
    for index, entry in enumerate(entries, start=1):
        for draft in entry.drafts:
            if draft.values["name"]:
                continue
            prefix, number = draft.name_prefix, index
            passed = [(prefix, number)]
            while (name := f"{prefix}_{number}") in taken:
                number = skip.get((prefix, number), number + 1)
                passed.append((prefix, number))
            skip |= dict.fromkeys(passed, number + 1)
            taken.add(name)
            draft.values["name"] = name


def _check_names(drafts: list[PartialStep]) -> None:
    names: dict[str, PartialStep] = {}
    ids: dict[str, PartialStep] = {}
    for draft in drafts:
        name, step_id, fields = draft.values["name"], draft.values.get("id", ""), draft.fields
        if name in names:
            hint = f"first used on line {names[name].fields.at[0]}"
            fields.error("name", f"step name must be unique: {name}", hint=hint)
        names.setdefault(name, draft)
        if step_id and step_id in ids:
            hint = f"first used on line {ids[step_id].fields.at[0]}"
            fields.error("id", f"duplicate step ID: {step_id}", hint=hint)
        elif step_id:
            ids[step_id] = draft
    for step_id, draft in ids.items():
        other = names.get(step_id)
        if other is not None and other is not draft:
            draft.fields.error("id", f"step ID '{step_id}' conflicts with another step's name")


def _resolve_depends(drafts: list[PartialStep]) -> None:
    names = {draft.values["name"] for draft in drafts}
    by_id = {step_id: draft.values["name"] for draft in drafts if (step_id := draft.values.get("id"))}
    for draft in drafts:
        written = draft.values.get("depends")
        if not written:
            continue
        found: dict[str, None] = {}
        for entry in written:
            name = entry if entry in names else by_id.get(entry)
            if name is None:
                message = f"step {draft.values['name']} depends on non-existent step {entry}"
                draft.fields.error("depends", message, hint=did_you_mean(entry, names | by_id.keys()))
            found[name or entry] = None
        draft.values["depends"] = tuple(found)


def _link(entries: list[_Entry]) -> bool:
    """Make every entry depend on the one before it, beside what it depends on already.

    Returns whether that is possible within the limit: every member of a group depends on every
    member of the group before.
    """
    before: tuple[str, ...] = ()
    edges = 0
    for entry in entries:
        edges += len(entry.drafts) * len(before)
        if edges > _MAX_IMPLICIT_EDGES:
            return False
        for draft in entry.drafts:
            if before and not draft.no_implicit_depends:
                draft.values["depends"] = tuple(dict.fromkeys((*draft.values.get("depends", ()), *before)))
        if entry.drafts:
            before = tuple(draft.values["name"] for draft in entry.drafts)
    return True


def _check_acyclic(drafts: list[PartialStep]) -> None:
    """Note one cycle, if there is any, on the first of its steps.

    Where two steps have one name nobody knows which of them is meant: that alone is told.
    """
    by_name = {draft.values["name"]: draft for draft in drafts}
    if len(by_name) < len(drafts):
        return
    open_edges = {name: by_name.keys() & draft.values.get("depends", ()) for name, draft in by_name.items()}
    dependents: dict[str, list[str]] = {name: [] for name in by_name}
    for name, depends in open_edges.items():
        for before in depends:
            dependents[before].append(name)
    ready = [name for name, depends in open_edges.items() if not depends]
    while ready:
        done = ready.pop()
        del open_edges[done]
        for name in dependents[done]:
            open_edges[name].discard(done)
            if not open_edges[name]:
                ready.append(name)
    if not open_edges:
        return
    cycle = _cycle(open_edges, next(iter(open_edges)))
    fields = by_name[cycle[0]].fields
    shown = " -> ".join(cycle if len(cycle) <= 12 else [*cycle[:10], "...", cycle[-1]])
    fields.error("depends", f"cyclic plan detected: {shown}")


def _cycle(edges: dict[str, set[str]], start: str) -> list[str]:
    """Walk dependencies until a step comes again; every step in ``edges`` has one left in it."""
    way: list[str] = []
    places: dict[str, int] = {}
    name = start
    while name not in places:
        places[name] = len(way)
        way.append(name)
        name = min(before for before in edges[name] if before in edges)
    return [*way[places[name] :], name]


def read_handlers(fields: Fields, defaults: DagDefaults) -> dict[Handler, Step]:
    """Read ``handlerOn``: one step for each hook, with the hook's name."""
    inner = fields.mapping("handlerOn", _HANDLERS)
    if inner is None:
        return {}
    if inner.get("abort") is not None and inner.get("cancel") is not None:
        inner.error("cancel", "cannot specify both 'abort' and 'cancel' in handlerOn")
    found: dict[Handler, Step] = {}
    for key, handler in _HANDLER_OF.items():
        value = inner.get(key)
        if value is None:
            continue
        if not isinstance(value, YamlMap):
            inner.error(key, "invalid step data", hint="a handler is a map, for instance {command: ./clean.sh}")
            continue
        draft = read_step(Fields(fields.issues, value, inner.sub(key), STEP_KEYS), defaults)
        for name, attribute in _IGNORED_ON_HANDLERS.items():
            if draft.values.pop(attribute, None):
                draft.fields.warn(name, f"{name} is ignored on a handler")
        draft.values["name"] = handler.value
        step = Step(**draft.values)
        if has_nothing_to_run(draft, step):
            inner.warn(key, "a handler without a command does nothing")
            continue
        check_step(draft, step, defaults)
        if step.type == APPROVAL:
            inner.error(key, "a handler cannot wait for approval")
        if step.pool or step.lock or step.rate_limit:
            inner.error(key, "a handler cannot wait for a pool, lock or rate limit", hint="let a step do it")
        found[handler] = step
    return found
