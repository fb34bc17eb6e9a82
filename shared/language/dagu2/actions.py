"""``run`` and ``action`` with ``with``: what a step of Dagu 2 does, as the fields of this language."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.language.dagu2.keys import copy_of, known_as, list_at, put, renamed
from shared.language.issues import Issues, Place, did_you_mean
from shared.language.steps.chat import LLM_KEYS
from shared.language.steps.command_line import split_command
from shared.language.steps.config_keys import CONFIG_KEYS
from shared.language.steps.executor_config import ARCHIVE_OPERATIONS
from shared.language.yaml.fields import Vocabulary, is_scalar, plain, scalar_text
from shared.language.yaml.reader import YamlList, YamlMap

__all__ = ["read_action", "read_run", "shell_with"]

_SHELL = ("shell", "shell_args", "shell_packages")
_NO_COUNTERPART = "has no counterpart here"


@dataclass(frozen=True, slots=True)
class _Action:
    """A step's action. ``into``: the step that is being made. ``done``: the keys of ``inputs`` that were read."""

    issues: Issues
    path: str
    at: Place
    inputs: YamlMap
    into: YamlMap

    def error(self, message: str, key: str = "", hint: str = "") -> None:
        path = f"{self.path}.with.{key}" if key else f"{self.path}.action"
        self.issues.error(message, path, self.inputs.key_at.get(key, self.at), hint=hint)

    def text(self, key: str) -> str:
        """Return a required text of ``with``; report it if it is missing."""
        value = self.inputs.get(key)
        if value is None or not is_scalar(value) or not scalar_text(value).strip():
            self.error(f"with.{key} is required", key)
            return ""
        return scalar_text(value)

    def set(self, name: str, value: Any, key: str = "") -> None:
        put(self.into, name, value, self.inputs.key_at.get(key, self.at), self.inputs.value_at.get(key, self.at))

    def config(self, kind: str, *used: str) -> None:
        """Make ``type`` and ``config`` of an executor. ``used``: keys that have become other fields."""
        known = Vocabulary(*CONFIG_KEYS[kind])
        found = YamlMap(self.inputs.at)
        for key in self.inputs:
            if key in used:
                continue
            name = known_as(key, known)
            if name:
                copy_of(self.inputs, key, found, name)
            else:
                self.error(f"{key} of {kind} steps {_NO_COUNTERPART}", key, did_you_mean(key, known.names))
        self.set("type", kind)
        if found:
            self.set("config", found)

    def only(self, *keys: str) -> None:
        """Report the keys of ``with`` that are not among ``keys``."""
        for key in self.inputs:
            if key not in keys:
                self.error(f"{key} {_NO_COUNTERPART}", key, did_you_mean(key, keys))


def read_run(issues: Issues, path: str, step: YamlMap, into: YamlMap) -> None:
    """Read ``run`` and the shell in ``with`` into the fields of ``into``."""
    run = step["run"]
    if isinstance(run, YamlList):
        run = list_at(run.at, [_as_text(item) for item in run], list(run.item_at))
    put(into, "command", run, step.key_at["run"], step.value_at["run"])
    inputs = step.get("with")
    if not isinstance(inputs, YamlMap):
        return
    for key in inputs:
        if key not in _SHELL:
            at = inputs.key_at[key]
            issues.error(f"with of a run step cannot have {key}", f"{path}.with", at, hint=f"only {', '.join(_SHELL)}")
    if "shell" in inputs:
        args = inputs.get("shell_args")
        put(into, "shell", shell_with(inputs["shell"], args), inputs.key_at["shell"], inputs.value_at["shell"])
    if "shell_packages" in inputs:
        copy_of(inputs, "shell_packages", into, "shellPackages")


def shell_with(shell: Any, args: Any) -> Any:
    """Return a shell with its arguments as one list, or ``shell`` itself if there are none."""
    if not isinstance(args, YamlList) or not args:
        return shell
    try:
        words = [*shell] if isinstance(shell, YamlList) else [*split_command(str(shell))]
    except ValueError:
        words = str(shell).split()
    return list_at(args.at, [*words, *(scalar_text(word) for word in args)])


def _as_text(item: Any) -> Any:
    """Return a command of a list. YAML reads ``- echo a: b`` as a map with one key."""
    if isinstance(item, YamlMap) and len(item) == 1:
        ((key, value),) = item.items()
        if is_scalar(value):
            return f"{key}: {scalar_text(value)}"
    return item


def read_action(issues: Issues, path: str, step: YamlMap, into: YamlMap) -> None:
    """Read ``action`` and ``with`` into the fields of ``into``. Report an action that has no counterpart."""
    name, inputs = step["action"], step.get("with")
    at = step.key_at["action"]
    given = inputs if isinstance(inputs, YamlMap) else YamlMap(step.value_at.get("with", at))
    action = _Action(issues, path, at, given, into)
    if inputs is not None and not isinstance(inputs, YamlMap):
        issues.error("with must be a map", f"{path}.with", step.key_at["with"])
    read = _ACTIONS.get(name) if isinstance(name, str) else None
    if read is None:
        action.error(f"action {name} {_NO_COUNTERPART}", hint=did_you_mean(str(name), _ACTIONS) or _instead(str(name)))
        put(into, "command", "false", at)
        return
    read(action)


def _instead(name: str) -> str:
    family = name.partition(".")[0]
    return _INSTEAD.get(family, "write a run step that does the same")


_INSTEAD = {
    "router": "give the steps preconditions instead",
    "foreach": "call a workflow with parallel instead",
    "dag": "use dag.run, or dagway enqueue in a run step",
    "outputs": "print the value, and name it with output: NAME",
}


def _http(action: _Action) -> None:
    method, url = action.text("method"), action.text("url")
    action.set("command", f"{method} {url}", "url")
    inputs = action.inputs
    if inputs.get("format") == "json":
        inputs = _without(inputs, "format")
        put(inputs, "json", True, inputs.at)
    _Action(action.issues, action.path, action.at, inputs, action.into).config("http", "method", "url")


def _without(source: YamlMap, *keys: str) -> YamlMap:
    found = YamlMap(source.at)
    for key in source:
        if key not in keys:
            copy_of(source, key, found)
    return found


def _ssh(action: _Action) -> None:
    action.set("command", action.text("command"), "command")
    action.config("ssh", "command")


def _container(action: _Action) -> None:
    if "command" in action.inputs:
        copy_of(action.inputs, "command", action.into)
    action.config("docker", "command")


def _exec(action: _Action) -> None:
    action.only("command", "args")
    args = action.inputs.get("args")
    words = [action.text("command"), *(scalar_text(word) for word in (args if isinstance(args, YamlList) else []))]
    # In a list, a command with line breaks is no script.
    action.set("command", list_at(action.at, [shlex.join(words)]), "command")
    action.set("shell", "direct")


def _jq(action: _Action) -> None:
    action.only("filter", "data", "raw", "timeout")
    action.set("command", action.text("filter"), "filter")
    data = action.inputs.get("data")
    if data is not None:
        text = data if isinstance(data, str) else json.dumps(plain(data), ensure_ascii=False)
        action.set("script", text, "data")
    action.config("jq", "filter", "data")


def _call(action: _Action) -> None:
    action.only("dag", "params")
    action.set("call", action.text("dag"), "dag")
    if "params" in action.inputs:
        copy_of(action.inputs, "params", action.into)


def _mail(action: _Action) -> None:
    action.config("mail")


def _archive(operation: str) -> Callable[[_Action], None]:
    def read(action: _Action) -> None:
        action.set("command", operation)
        action.config("archive")

    return read


def _chat(action: _Action) -> None:
    if "messages" in action.inputs:
        copy_of(action.inputs, "messages", action.into)
    elif "prompt" in action.inputs:
        message = YamlMap(action.inputs.at)
        put(message, "role", "user", action.inputs.key_at["prompt"])
        put(message, "content", action.inputs["prompt"], action.inputs.key_at["prompt"])
        action.set("messages", list_at(action.inputs.at, [message]), "prompt")
    llm = YamlMap(action.inputs.at)
    for key in action.inputs:
        if key not in ("messages", "prompt"):
            copy_of(action.inputs, key, llm, known_as(key, LLM_KEYS) or key)
            llm[known_as(key, LLM_KEYS) or key] = renamed(action.inputs[key], deep=True)
    action.set("type", "chat")
    if llm:
        action.set("llm", llm)


def _log(action: _Action) -> None:
    action.only("message")
    message = action.text("message")
    end = "END_OF_MESSAGE"
    while end in message:
        end += "_"
    # A shell expands nothing in a here-document with a quoted delimiter, and references are replaced in it.
    action.set("command", f"cat <<'{end}'\n{message}\n{end}\n", "message")
    action.set("type", "command")
    action.set("shell", "sh")


def _noop(action: _Action) -> None:
    action.only()
    action.set("command", "true")
    action.set("type", "command")
    action.set("shell", "sh")


def _human(action: _Action) -> None:
    action.only("prompt", "form")
    config = YamlMap(action.inputs.at)
    put(config, "prompt", action.text("prompt"), action.inputs.key_at.get("prompt", action.at))
    form = action.inputs.get("form")
    if isinstance(form, YamlMap):
        at = action.inputs.key_at["form"]
        properties = form.get("properties")
        if isinstance(properties, YamlMap) and properties:
            put(config, "input", list_at(at, list(properties)), at)
            note = "the answers are text here, and are not checked against the form"
            action.issues.warn(note, f"{action.path}.with.form", at)
        if isinstance(form.get("required"), YamlList):
            put(config, "required", list_at(at, [scalar_text(name) for name in form["required"]]), at)
    action.set("type", "hitl")
    action.set("config", config)


_ACTIONS: Mapping[str, Callable[[_Action], None]] = {
    "http.request": _http,
    "ssh.run": _ssh,
    "exec": _exec,
    "docker.run": _container,
    "container.run": _container,
    "jq.filter": _jq,
    "dag.run": _call,
    "mail.send": _mail,
    **{f"archive.{operation}": _archive(operation) for operation in ARCHIVE_OPERATIONS},
    "chat.completion": _chat,
    "log.write": _log,
    "noop": _noop,
    "human.task": _human,
}
