"""The graph of a dag's steps: gives steps their names, resolves dependencies, and checks names, ids and cycles."""

from collections.abc import Sequence

from shared.language.issues import did_you_mean
from shared.language.steps.step import PartialStep

__all__ = [
    "MAX_IMPLICIT_EDGES",
    "StepGroup",
    "check_acyclic",
    "check_names",
    "give_names",
    "link_groups",
    "resolve_depends",
]

MAX_IMPLICIT_EDGES = 500_000

StepGroup = list[PartialStep]
"""One entry of ``steps``: a single step, or a list of steps, which do not depend on each other."""


def give_names(entries: Sequence[StepGroup]) -> None:
    """Give each unnamed step the name ``<prefix>_<n>``.

    n is the 1-based position of the step's entry. If that name is taken, n is the next number whose name is free.
    """
    # For each number that is taken, the number to try next. This keeps the search linear in the number of entries.
    skip: dict[tuple[str, int], int] = {}
    taken = {partial.values["name"] for entry in entries for partial in entry}
    for index, entry in enumerate(entries, start=1):
        for partial in entry:
            if partial.values["name"]:
                continue
            prefix, number = partial.name_prefix, index
            passed = [(prefix, number)]
            while (name := f"{prefix}_{number}") in taken:
                number = skip.get((prefix, number), number + 1)
                passed.append((prefix, number))
            skip |= dict.fromkeys(passed, number + 1)
            taken.add(name)
            partial.values["name"] = name


def check_names(partials: list[PartialStep]) -> None:
    """Report duplicate names, duplicate ids, and ids that are the name of another step."""
    names: dict[str, PartialStep] = {}
    ids: dict[str, PartialStep] = {}
    for partial in partials:
        name, step_id, fields = partial.values["name"], partial.values.get("id", ""), partial.fields
        if name in names:
            hint = f"first used on line {names[name].fields.at[0]}"
            fields.error("name", f"step name must be unique: {name}", hint=hint)
        names.setdefault(name, partial)
        if step_id and step_id in ids:
            hint = f"first used on line {ids[step_id].fields.at[0]}"
            fields.error("id", f"duplicate step ID: {step_id}", hint=hint)
        elif step_id:
            ids[step_id] = partial
    for step_id, partial in ids.items():
        other = names.get(step_id)
        if other is not None and other is not partial:
            partial.fields.error("id", f"step ID '{step_id}' conflicts with another step's name")


def resolve_depends(partials: list[PartialStep]) -> None:
    """Replace the ids in ``depends`` with names of steps. Report entries that are neither an id nor a name."""
    names = {partial.values["name"] for partial in partials}
    by_id = {step_id: partial.values["name"] for partial in partials if (step_id := partial.values.get("id"))}
    for partial in partials:
        written = partial.values.get("depends")
        if not written:
            continue
        found: dict[str, None] = {}
        for entry in written:
            name = entry if entry in names else by_id.get(entry)
            if name is None:
                message = f"step {partial.values['name']} depends on non-existent step {entry}"
                partial.fields.error("depends", message, hint=did_you_mean(entry, names | by_id.keys()))
            found[name or entry] = None
        partial.values["depends"] = tuple(found)


def link_groups(entries: list[StepGroup]) -> bool:
    """Make every step depend on all steps of the previous group, in addition to its own ``depends``.

    A step with an empty ``depends`` list is left as it is. Return ``False`` if more than ``MAX_IMPLICIT_EDGES``
    dependencies would be needed.
    """
    before: tuple[str, ...] = ()
    edges = 0
    for entry in entries:
        edges += len(entry) * len(before)
        if edges > MAX_IMPLICIT_EDGES:
            return False
        for partial in entry:
            if before and not partial.no_implicit_depends:
                partial.values["depends"] = tuple(dict.fromkeys((*partial.values.get("depends", ()), *before)))
        if entry:
            before = tuple(partial.values["name"] for partial in entry)
    return True


def check_acyclic(partials: list[PartialStep]) -> None:
    """Report one cycle, if there is any, at the first of its steps.

    Do nothing if two steps have the same name: that is reported already, and dependencies on the name are ambiguous.
    """
    by_name = {partial.values["name"]: partial for partial in partials}
    if len(by_name) < len(partials):
        return
    open_edges = {name: by_name.keys() & partial.values.get("depends", ()) for name, partial in by_name.items()}
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
    """Return a cycle: follow dependencies until a step repeats. Each step in ``edges`` depends on a step in it."""
    way: list[str] = []
    places: dict[str, int] = {}
    name = start
    while name not in places:
        places[name] = len(way)
        way.append(name)
        name = min(before for before in edges[name] if before in edges)
    return [*way[places[name] :], name]
