"""Steps and handlers of Dagu 2, as steps of this language."""

from typing import Any

from shared.language.dagu2.actions import read_action, read_run, shell_with
from shared.language.dagu2.keys import copy_of, known_as, list_at, put, renamed
from shared.language.issues import Issues, Place
from shared.language.steps.containers import CONTAINER_KEYS
from shared.language.steps.step import STEP_KEYS
from shared.language.yaml.fields import is_scalar
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["back_quoted", "conditions", "container", "selected_outputs", "translated_step"]

_MAPS = frozenset({"continueOn", "retryPolicy", "repeatPolicy", "parallel"})
"""Fields whose keys are names of the language. The keys of all others, such as ``env``, are the author's."""
_EXECUTION = frozenset({"command", "script", "type", "config", "executor", "call", "params", "messages", "llm"})
_READ = frozenset({"run", "action", "with", "exec", "shell_args", "output", "outputs"})
_REFUSED = {
    "foreach": "call a workflow with parallel instead",
    "outputs": "print the value, and name it with output: NAME",
    "approval": "add a human.task step after it",
    "stdin": "redirect the input in the command: < FILE",
    "output_schema": "check the output in a later step",
    "pass_env": "pass the values as params",
    "agent": "",
    "value": "give the steps preconditions instead of a router",
    "routes": "give the steps preconditions instead of a router",
}


def translated_step(issues: Issues, path: str, step: YamlMap) -> YamlMap:
    """Return a step in the fields of this language, with the places of the step that it is made from."""
    made = YamlMap(step.at)
    if "run" in step and "action" in step:
        issues.error("run and action cannot be used together", path, step.key_at["action"])
    elif "run" in step or "action" in step:
        for key in sorted(_EXECUTION & step.keys()):
            issues.error(f"{key} cannot be used together with run or action", path, step.key_at[key])
    if "action" in step:
        read_action(issues, path, step, made)
    elif "run" in step:
        read_run(issues, path, step, made)
    elif isinstance(step.get("with"), YamlMap):
        put(made, "config", renamed(step["with"]), step.key_at["with"], step.value_at["with"])
    if isinstance(step.get("exec"), YamlMap):
        direct = YamlMap(step.at)
        put(direct, "action", "exec", step.key_at["exec"])
        copy_of(step, "exec", direct, "with")
        read_action(issues, path, direct, made)
    for key in step:
        if key not in _READ and key not in made:
            _copy(issues, path, step, key, made)
    if "shell" in step and "shell_args" in step:
        put(made, "shell", shell_with(step["shell"], step["shell_args"]), step.key_at["shell"])
    if "outputs" in step:
        _refuse(issues, path, step, "outputs")
    if "output" in step:
        _output(issues, path, step, made)
    if "id" in made and "name" not in made:
        copy_of(step, "id", made, "name")
    return made


def _copy(issues: Issues, path: str, step: YamlMap, key: str, into: YamlMap) -> None:
    name = key if key in STEP_KEYS.names else known_as(key, STEP_KEYS)
    if key in _REFUSED:
        _refuse(issues, path, step, key)
    elif not name:
        issues.warn(f"unknown key is ignored: {key}", path, step.key_at[key])
    elif key in ("stdout", "stderr") and isinstance(step[key], YamlMap):
        hint = "write the name of a file, or print the value and name it with output: NAME"
        issues.error(f"{key} cannot be a map here", f"{path}.{key}", step.key_at[key], hint=hint)
    else:
        copy_of(step, key, into, name)
        if name in _MAPS:
            into[name] = renamed(step[key])
        elif name == "container":
            into[name] = container(step[key])
        elif name in ("preconditions", "precondition"):
            into[name] = conditions(step[key])
        elif name == "llm":
            into[name] = renamed(step[key], deep=True)


def _refuse(issues: Issues, path: str, step: YamlMap, key: str) -> None:
    issues.error(f"{key} has no counterpart here", f"{path}.{key}", step.key_at[key], hint=_REFUSED[key])


def container(value: Any) -> Any:
    """Return a ``container`` with its keys in this language's spelling."""
    if not isinstance(value, YamlMap):
        return value
    found = YamlMap(value.at)
    for key in value:
        copy_of(value, key, found, known_as(key, CONTAINER_KEYS) or key)
    return found


def conditions(value: Any) -> Any:
    """Return ``preconditions`` whose ``eval`` is a condition with a back-quoted command."""
    if isinstance(value, YamlList):
        return list_at(value.at, [conditions(item) for item in value], list(value.item_at))
    if not isinstance(value, YamlMap) or "eval" not in value:
        return value
    found = YamlMap(value.at)
    for key in value:
        copy_of(value, key, found, "condition" if key == "eval" else key)
    found["condition"] = back_quoted(found["condition"])
    return found


def back_quoted(text: Any) -> Any:
    """Return ``$(command)`` with back quotes, in which this language runs commands; any other value as it is."""
    if isinstance(text, str) and text.startswith("$(") and text.endswith(")") and "`" not in text:
        return f"`{text[2:-1]}`"
    return text


def selected_outputs(step: YamlMap) -> dict[str, str] | None:
    """Return the values of a structured ``output`` by name, each as a path in what the step prints.

    ``None`` if a value is not a part of the step's standard output: it has no counterpart then.
    """
    output = step.get("output")
    if not isinstance(output, YamlMap) or not isinstance(step.get("id"), str):
        return None
    found: dict[str, str] = {}
    for name, entry in output.items():
        if not isinstance(entry, YamlMap) or entry.get("from", "stdout") != "stdout":
            return None
        select = entry.get("select") or ""
        as_json = entry.get("decode") == "json"
        if not isinstance(select, str) or (select and not as_json) or entry.get("decode") == "yaml":
            return None
        found[name] = "" if select == "." else select
    return found


def _output(issues: Issues, path: str, step: YamlMap, into: YamlMap) -> None:
    """Read ``output``: a name, or a map of values, for which the whole output is kept under a name of its own."""
    output = step["output"]
    at: Place = step.key_at["output"]
    if not isinstance(output, YamlMap) or (is_scalar(output.get("name")) and output.keys() <= {"name", "key", "omit"}):
        copy_of(step, "output", into)
    elif selected_outputs(step) is None:
        hint = "give the step an id, and read each value from its JSON output with from: stdout, decode: json, select"
        issues.error("this form of output has no counterpart here", f"{path}.output", at, hint=hint)
    else:
        put(into, "output", f"DAG_OUTPUT_{step['id'].upper()}", at)
