"""Recognises documents that are written in the YAML of Dagu 2."""

import re
from collections.abc import Iterator
from typing import Any

from shared.language.dagu2.keys import known_as
from shared.language.document import DAG_KEYS
from shared.language.steps.step import STEP_KEYS
from shared.language.yaml.fields import Vocabulary
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["is_dagu2", "steps_of"]

_ROOT = frozenset({"labels", "consts", "actions", "step_types", "tools", "harnesses", "handler_on"})
_BESIDE_A_CALL = frozenset({"params", "parallel"})
_STEP = frozenset({"action", "with", "exec", "foreach", "outputs", "approval", "shell_args"})
_NAME_OF_A_DAG = re.compile(r"(?:~/)?[\w./-]+\Z")
_PART_OF_A_NAME = re.compile(r"\$\{(?!(?:consts|context|env|params|steps)\.)[^{}]*\}|\$\w+|`[^`]*`")
"""What Dagu 1 replaces in the name of a workflow: a variable, or a command in back quotes."""


def is_dagu2(document: YamlMap) -> bool:
    """Return whether the document has a field that only Dagu 2 knows.

    ``run`` is such a field if its value cannot be the name of a workflow: in Dagu 1, ``run: NAME`` is ``call: NAME``,
    ``NAME`` may be ``${VARIABLE}``, and ``params`` or ``parallel`` are beside it.
    """
    if any(key in _ROOT or _is_snake(key, DAG_KEYS) for key in document):
        return True
    return any(_is_step(step) for step in steps_of(document))


def steps_of(document: YamlMap) -> Iterator[YamlMap]:
    """Yield the maps of all steps and handlers, whatever form ``steps`` has."""
    steps = document.get("steps")
    handlers = document.get("handlerOn")
    found: list[Any] = [*(steps.values() if isinstance(steps, YamlMap) else [steps])]
    found += handlers.values() if isinstance(handlers, YamlMap) else []
    while found:
        value = found.pop()
        if isinstance(value, YamlList):
            found.extend(value)
        elif isinstance(value, YamlMap):
            yield value


def _is_step(step: YamlMap) -> bool:
    if any(key in _STEP or _is_snake(key, STEP_KEYS) for key in step):
        return True
    run = step.get("run")
    if not isinstance(run, str):
        return isinstance(run, YamlList)
    return bool(run.strip()) and not (step.keys() & _BESIDE_A_CALL) and not _may_be_called(run.strip())


def _may_be_called(name: str) -> bool:
    return _NAME_OF_A_DAG.match(_PART_OF_A_NAME.sub("x", name)) is not None


def _is_snake(key: str, vocabulary: Vocabulary) -> bool:
    return "_" in key and bool(known_as(key, vocabulary))
