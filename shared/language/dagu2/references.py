"""Rewrites the references of Dagu 2 as this language spells them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.language.dagu2.keys import copy_of, list_at
from shared.language.issues import Issues, Place
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["MOST_INSERTED", "References"]

MOST_INSERTED = 4 * 1024 * 1024
"""Characters that the constants of one document may put in place of their references, also into each other."""

_REFERENCE = re.compile(r"(?<!\\)\$\{([A-Za-z_]\w*)\.([\w.\[\]-]+)\}")
_ESCAPED = re.compile(r"\\\$\{(?:params|env|consts|steps|context)\.")
_CONTEXT = {
    "dag.name": "DAG_NAME",
    "run.id": "DAG_RUN_ID",
    "run.status": "DAG_RUN_STATUS",
    "run.scheduled_at": "DAG_RUN_SCHEDULE_TIME",
    "step.name": "DAG_RUN_STEP_NAME",
    "paths.log_file": "DAG_RUN_LOG_FILE",
    "paths.step_stdout_file": "DAG_RUN_STEP_STDOUT_FILE",
    "paths.step_stderr_file": "DAG_RUN_STEP_STDERR_FILE",
}
_CONTEXTS = frozenset({"context", "dag", "run", "attempt", "step", "trigger", "paths", "profile", "pushback"})
_ELSEWHERE = frozenset({"context", "attempt", "trigger", "pushback"})
"""Namespaces of which an unknown field is an error. The others are names that a step or a variable may have too."""


@dataclass(slots=True)
class References:
    """What the references of one document can mean.

    - ``consts``: the document's constants by name.
    - ``variables``: names that the workflow itself sets, so that ``${env.NAME}`` can be replaced before the shell runs.
    - ``tasks``: ids of the steps that wait for a person, whose answers are variables.
    - ``selected``: by id of a step and name of a value in its ``output``, the path of the value in what it prints.
    """

    consts: Mapping[str, str] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    selected: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    inserted: int = 0
    """How many characters the constants have put in place so far. Beyond ``MOST_INSERTED`` references stay."""

    def rewrite(self, value: Any, issues: Issues, path: str, at: Place) -> Any:
        """Return a copy of ``value`` with its references rewritten. Report those that have no counterpart."""
        if isinstance(value, YamlList):
            items = [
                self.rewrite(item, issues, f"{path}[{index}]", value.item_at[index]) for index, item in enumerate(value)
            ]
            made = list_at(value.at, items, list(value.item_at))
            made.inherited = value.inherited
            return made
        if isinstance(value, YamlMap):
            found = YamlMap(value.at)
            for key in value:
                copy_of(value, key, found)
                found[key] = self.rewrite(value[key], issues, f"{path}.{key}" if path else key, found.value_at[key])
            return found
        return self._text(value, issues, path, at) if type(value) is str and "${" in value else value

    def _text(self, text: str, issues: Issues, path: str, at: Place) -> str:
        missing: list[str] = []
        written = _REFERENCE.sub(self._replacer(missing), text)
        for reference in missing:
            message = f"{reference} has no counterpart here"
            issues.error(message, path, at, hint="print the value, and name it with output: NAME")
        if _ESCAPED.search(text):
            issues.warn("a backslash does not keep a reference from being replaced here", path, at)
        return written

    def _replacer(self, missing: list[str]) -> Callable[[re.Match[str]], str]:
        def replace(found: re.Match[str]) -> str:
            new = self._spelled(found[1], found[2])
            if new is None:
                missing.append(found[0])
            return found[0] if new is None else new

        return replace

    def _constant(self, name: str, written: str) -> str | None:
        value = self.consts.get(name)
        self.inserted += len(value or "")
        return value if self.inserted <= MOST_INSERTED else written

    def _spelled(self, head: str, rest: str) -> str | None:
        """Return what a reference becomes, or ``None`` if it has no counterpart."""
        written = f"${{{head}.{rest}}}"
        if head == "consts":
            return self._constant(rest, written)
        if head in ("params", "env") and head not in self.variables:
            if not rest.isidentifier():
                return written
            # A value of the workflow is put in before the shell runs; the shell knows the others.
            return f"${{dagu2.{head}.{rest}}}" if head == "params" or rest in self.variables else f"${{{rest}}}"
        if head == "steps":
            step, _, name = rest.partition(".outputs.")
            return f"${{dagu2.env.{name}}}" if step in self.tasks and name.isidentifier() else None
        if head == "foreach":
            return None
        step, dot, name = rest.partition(".")
        if step == "output" and head in self.selected:
            first, inner_dot, inner = name.partition(".")
            known = self.selected[head].get(first)
            return None if known is None else f"${{{head}.output{known}{inner_dot}{inner}}}"
        if step == "outputs" and dot and head not in self.variables:
            return None
        if head in _CONTEXTS:
            variable = _CONTEXT.get(rest if head == "context" else f"{head}.{rest}")
            return f"${{{variable}}}" if variable else None if head in _ELSEWHERE else written
        return written
