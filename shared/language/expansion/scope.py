"""The values that references refer to: variables in order of precedence, and facts about steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.language.expansion.params_syntax import json_scalar_text, parse_json
from shared.language.expansion.references import PathStep, Reference, may_be_filter, namespaced_name, path_steps

__all__ = ["RunFilter", "Scope", "StepFacts", "in_namespace", "known_value", "substring", "value_of"]

RunFilter = Callable[[str, str], str | None]
"""Applies a jq filter (the second text) to a JSON text. Returns the first result as JSON, ``None`` if there is none.

It raises ``ExpansionError`` if the filter exceeds a limit."""


@dataclass(frozen=True, slots=True)
class StepFacts:
    """The values of ``${id.stdout}`` and similar references to a step.

    ``stdout`` and ``stderr`` are the paths of its log files, empty before the step starts.
    """

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The variables and steps that a text can refer to.

    - ``maps``: variables, from the highest to the lowest precedence.
    - ``steps``: facts about steps, by step id.
    - ``trusted``: names of the variables whose values the DAG's author wrote.
    - ``paths_only``: variables with the lowest precedence, used only for references with a path (``${X.a}``). The shell
      has these variables too and can expand ``${X}``, but not a path.
    - ``host``: variables with the lowest precedence that the workflow, or the part of it at hand, does not set.
    - ``run_filter``: applies the jq filter of a reference. Without it, such a reference stays as written.
    """

    maps: Sequence[Mapping[str, str]] = ()
    steps: Mapping[str, StepFacts] = field(default_factory=dict)
    trusted: frozenset[str] = frozenset()
    paths_only: Sequence[Mapping[str, str]] = ()
    host: Mapping[str, str] = field(default_factory=dict)
    run_filter: RunFilter | None = None

    def lookup(self, name: str) -> str | None:
        """Return the value of a variable, or ``None`` if it is neither in ``maps`` nor in ``host``."""
        value = _found(name, self.maps)
        return self.host.get(name) if value is None else value

    def trusts(self, piece: Reference) -> bool:
        """Return whether the DAG's author wrote the value of ``piece``."""
        return piece.name in self.trusted and not (piece.path and piece.name in self.steps)


def _found(name: str, maps: Sequence[Mapping[str, str]]) -> str | None:
    for values in maps:
        if name in values:
            return values[name]
    return None


def known_value(piece: Reference, scope: Scope) -> tuple[Reference, str] | None:
    """Return the reference and its value in textual mode, or ``None`` if the reference stays as written.

    ``${A-b}`` is the variable ``A-b`` if that is defined, although in a shell it is ``A`` with a default.
    """
    if piece.operator == "-" and (value := scope.lookup(name := f"{piece.name}-{piece.word}")) is not None:
        return Reference(piece.source, name, quoted=piece.quoted), value
    if piece.operator or piece.length or piece.kept:
        return None
    piece = in_namespace(piece, scope)
    value = value_of(piece, scope)
    return None if value is None else (piece, value)


def in_namespace(piece: Reference, scope: Scope) -> Reference:
    """Return ``${dagu2.params.NAME}`` and ``${dagu2.env.NAME}`` as references to ``NAME``, if it is known."""
    name = namespaced_name(piece)
    if not name:
        return piece
    known = scope.lookup(name) is not None or _found(name, scope.paths_only) is not None
    return replace(piece, name=name, path="", namespaced=True) if known else piece


def value_of(piece: Reference, scope: Scope) -> str | None:
    """Return the value of a reference without operators, or ``None`` if no such variable or step is defined."""
    if piece.path:
        facts = scope.steps.get(piece.name)
        found = _step_property(facts, piece, scope) if facts is not None else _NOT_A_STEP
        if found is not _NOT_A_STEP:
            return found  # type: ignore[no-any-return]
    value = scope.lookup(piece.name)
    if not piece.path:
        return _found(piece.name, scope.paths_only) if value is None and piece.namespaced else value
    run_filter = _none if piece.bare else scope.run_filter
    if value is None:
        value = _found(piece.name, scope.paths_only)
        return None if value is None else _at_path(value, piece.path, run_filter)
    inner = _at_path(value, piece.path, run_filter)
    if inner is None and piece.bare:
        return value + piece.path
    return inner


_NOT_A_STEP: Any = object()


def _step_property(facts: StepFacts, piece: Reference, scope: Scope) -> Any:
    name, dot, rest = piece.path[1:].partition(".")
    if name == "output" and facts.output is not None:
        return _at_path(facts.output, dot + rest, scope.run_filter) if rest else facts.output
    texts = {"stdout": facts.stdout, "stderr": facts.stderr}
    texts["exit_code"] = texts["exitCode"] = str(facts.exit_code)
    if rest or name not in texts:
        return _NOT_A_STEP
    text = texts[name]
    if not text:
        return None
    return substring(text, ":".join(map(str, piece.slice))) if piece.slice else text


def _at_path(value: str, path: str, run_filter: RunFilter | None) -> str | None:
    """Return the value at a JSON path in ``value``, or the first result of a jq filter.

    It is empty if the path is missing, and ``None`` if ``value`` is not JSON, or if the filter fails or may not run.
    """
    steps = path_steps(path)
    if value.lstrip()[:1] not in ("{", "["):
        return None
    whole: Any = parse_json(value)
    if whole is None:
        return None
    found = None if steps is None else _first(whole, steps)
    if found is None and may_be_filter(path):
        if run_filter is None:
            return None
        result = run_filter(value, path)
        if result is None and steps is None:
            return None
        found = None if result is None else parse_json(result)
    return json_scalar_text(found)


def _none(_value: str, _filter: str) -> None:
    """A reference without braces has no filter."""


def _first(value: Any, steps: tuple[PathStep, ...]) -> Any:
    """Return the value at the end of the path. If a step of the path is ``[]`` (each item), return the first value."""
    todo = [(value, 0)]
    while todo:
        value, at = todo.pop()
        while at < len(steps) and (step := steps[at]) is not None:
            value, at = _child(value, step), at + 1
        if at == len(steps):
            return value
        if isinstance(value, (dict, list)):
            # The first item of an object is, as in Dagu, the one whose name comes first in the alphabet.
            items = [value[name] for name in sorted(value)] if isinstance(value, dict) else value
            todo += [(item, at + 1) for item in reversed(items)]
    return None


def _child(value: Any, step: str | int | slice) -> Any:
    """Return a member, an item or a slice of ``value``, or ``None`` if it has none or the member is null."""
    if isinstance(step, slice):
        return value[step] if isinstance(value, (list, str)) else None
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
        return value[step]
    return None


def substring(text: str, word: str) -> str:
    """Return the part of ``text`` that ``word`` selects as ``offset[:length]``. Negative numbers count from the end."""
    offset, _, length = word.strip().partition(":")
    try:
        start = int(offset or "0")
        size = int(length) if length.strip() else None
    except ValueError:
        return text
    start = max(len(text) + start, 0) if start < 0 else start
    if size is None:
        return text[start:]
    return text[start : start + size] if size >= 0 else text[start : len(text) + size]
