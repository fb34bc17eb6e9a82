"""Read one step. ``graph`` then gives it a name and resolves its dependencies."""

import re
import signal
from dataclasses import dataclass, field
from typing import Any

from shared.language.environment import read_env
from shared.language.issues import did_you_mean
from shared.language.model import LogOutput, Output, Step, StepCommand
from shared.language.parameters import read_call_params
from shared.language.steps.approval import APPROVAL, check_approval
from shared.language.steps.chat import check_chat, read_llm, read_messages
from shared.language.steps.command_line import split_command
from shared.language.steps.conditions import read_preconditions
from shared.language.steps.config_keys import canonical_keys
from shared.language.steps.containers import read_container
from shared.language.steps.executor_config import check_config
from shared.language.steps.executor_types import COMMAND_TYPES, check_allowed_fields, known_types
from shared.language.steps.nested_shells import param_in_code
from shared.language.steps.parallel import read_parallel
from shared.language.steps.policies import read_continue_on, read_repeat_policy, read_retry_policy
from shared.language.steps.pools import read_pool_names, read_rate_limits
from shared.language.steps.worker_selector import read_worker_selector
from shared.language.yaml.fields import Fields, Readers, Vocabulary, is_scalar, plain, read_each, scalar_text

__all__ = [
    "STEP_KEYS",
    "DagDefaults",
    "PartialStep",
    "check_step",
    "has_nothing_to_run",
    "read_log_output",
    "read_shell",
    "read_step",
    "step_name_problem",
]

STEP_KEYS = Vocabulary(
    "name", "id", "description", "command", "script", "shell", "shellPackages", "workingDir", "dir", "env", "depends",
    "type", "config", "executor", "stdout", "stderr", "logOutput", "output", "continueOn", "retryPolicy",
    "repeatPolicy", "preconditions", "precondition", "timeoutSec", "signalOnStop", "mailOnError", "call", "run",
    "params", "parallel", "workerSelector", "container", "llm", "messages", "pool", "lock", "rateLimit", "secrets",
)  # fmt: skip
_EXECUTOR = Vocabulary("type", "config")
_OUTPUT = Vocabulary("name", "key", "omit")
_ID = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*\Z")
_RESERVED_IDS = frozenset({"env", "params", "args", "stdout", "stderr", "output", "outputs"})
_MAX_NAME_BYTES = 40
_SIGNALS = frozenset(signal.Signals.__members__)


@dataclass(frozen=True, slots=True)
class DagDefaults:
    """Settings of the dag that change how its steps are read.

    ``container`` and ``ssh``: whether the dag has the field of that name. ``llm``: the dag's ``llm``.
    ``params``, ``secrets``: the names of the dag's parameters and secrets.
    """

    container: bool = False
    ssh: bool = False
    llm: dict[str, Any] | None = None
    params: frozenset[str] = frozenset()
    secrets: tuple[str, ...] = ()


@dataclass(slots=True)
class PartialStep:
    """A step that is being read.

    - ``fields``: the step's YAML.
    - ``values``: the fields of ``Step`` that have been read.
    - ``name_prefix``: the beginning of the name that the step gets if it has none.
    - ``no_implicit_depends``: ``depends`` is an empty list, so the step does not depend on the one before it.
    """

    fields: Fields
    values: dict[str, Any] = field(default_factory=dict)
    name_prefix: str = "step"
    no_implicit_depends: bool = False


def read_step(fields: Fields, defaults: DagDefaults) -> PartialStep:
    """Read a step. In the result the name may be empty, and ``depends`` may contain ids besides names."""
    partial = PartialStep(fields)
    values = partial.values
    values["name"] = _name(fields)
    read_each(fields, _READERS, values)
    if "command" in fields or "script" in fields:
        _read_commands(fields, values)
    if "workingDir" in fields or "dir" in fields:
        values["working_dir"] = fields.text("workingDir") or fields.text("dir")
    if "depends" in fields:
        partial.no_implicit_depends = fields.get("depends") == []
    if "preconditions" in fields or "precondition" in fields:
        values["preconditions"] = read_preconditions(fields)
    if "call" in fields or "run" in fields:
        values["call"] = fields.text("call") or fields.text("run")
    if "params" in fields:
        values["params"], values["param_pairs"] = read_call_params(fields)
    if fields.get("parallel") is not None and not values.get("call"):
        fields.error("parallel", "parallel execution is only supported for child-DAGs", hint="add call: <dag name>")
    explicit, legacy = _executor(fields, values)
    _settle_type(partial, explicit, legacy, defaults)
    return partial


def check_step(partial: PartialStep, step: Step, defaults: DagDefaults) -> None:
    """Report what the complete step lacks, and fields of it that do not fit together."""
    fields = partial.fields
    check_allowed_fields(fields, step)
    check_config(fields, step)
    _check_inner_code(fields, step, defaults.params)
    for name in step.secrets or ():
        if name not in defaults.secrets:
            hint = did_you_mean(name, defaults.secrets) or "name it in the secrets of the workflow, with its provider"
            fields.error("secrets", f"the workflow has no secret {name[:60]!r}", hint=hint)
    if step.type in COMMAND_TYPES:
        if has_nothing_to_run(partial, step):
            fields.issues.error("step command is required", fields.path, fields.at)
    elif step.type == "chat":
        check_chat(fields, step.llm or defaults.llm, step.messages)
    elif step.type == APPROVAL:
        check_approval(fields, step)
    elif step.type not in known_types():
        hint = did_you_mean(step.type, known_types())
        fields.error("type", f'executor type "{step.type}" is not registered', hint=hint)
    if step.stdout and step.stdout == step.stderr:
        message = "stdout and stderr cannot point to the same file; use 'logOutput: merged' instead"
        fields.error("stderr", message)


def _check_inner_code(fields: Fields, step: Step, params: frozenset[str]) -> None:
    for name, text in (*(("command", command.text) for command in step.commands), ("script", step.script)):
        if found := param_in_code(text, params):
            reference = "${" + found + "}"
            hint = f"put the code in single quotes: bash -c 'echo \"{reference}\"'"
            message = f"parameter {reference} becomes code of another shell, which runs a command in its value"
            fields.warn(name, message, hint=hint)


def has_nothing_to_run(partial: PartialStep, step: Step) -> bool:
    """Return whether a command step has nothing to run: no command, script or similar field.

    A field with an invalid value counts as something to run, because the invalid value is reported already.
    """
    if step.type not in COMMAND_TYPES:
        return False
    written = [
        partial.fields.get(name) for name in ("script", "call", "run", "container", "messages", "llm", "parallel")
    ]
    given = (value is not None and not (isinstance(value, str) and not value.strip()) for value in written)
    return partial.fields.get("command") is None and not any(given)


def _name(fields: Fields) -> str:
    name = fields.text("name")
    if problem := step_name_problem(name):
        fields.error("name", problem)
    return name


def step_name_problem(name: str) -> str:
    """Return what is wrong with a step's name; empty if it is valid. The limit is in bytes of UTF-8, as in Dagu."""
    if len(name.encode("utf-8", "replace")) <= _MAX_NAME_BYTES:
        return ""
    return f"step name must be less than {_MAX_NAME_BYTES} characters (value: {name[:60]})"


def _id(fields: Fields) -> str:
    step_id = fields.text("id")
    if step_id and not _ID.match(step_id):
        fields.error("id", f"invalid step ID format: {step_id}", hint="use letters, digits, - and _; a letter first")
        return ""
    if step_id.lower() in _RESERVED_IDS:
        fields.error("id", f"step ID '{step_id}' is a reserved word")
        return ""
    return step_id


def _read_commands(fields: Fields, values: dict[str, Any]) -> None:
    value = fields.get("command")
    script = fields.text("script")
    if isinstance(value, str):
        text = value.strip()
        if "\n" in text:
            if script:
                fields.warn("script", "script is ignored: a command of several lines is already a script")
            values["script"] = text
            return
        commands = [text] if text else []
    elif isinstance(value, list):
        if not all(is_scalar(item) for item in value):
            fields.error("command", "step command must be an array of strings or a string")
            return
        commands = [text for item in value if (text := scalar_text(item).strip())]
    elif value is not None:
        fields.error("command", "step command must be an array of strings or a string")
        return
    else:
        commands = []
    if not commands and value is not None:
        fields.error("command", "step command is empty")
    values["commands"] = tuple(_command(fields, text) for text in commands)
    if len(commands) > 1 and script:
        fields.warn("script", "script is ignored: the step has several commands")
    elif script:
        values["script"] = script


def _command(fields: Fields, text: str) -> StepCommand:
    try:
        return StepCommand(text=text, argv=split_command(text))
    except ValueError as error:
        # Only a step without a shell needs the words, and shells have other quotes too, such as $'it\'s'.
        fields.warn("command", f"failed to parse command: {error} (value: {text[:60]})", hint="close the quotes")
        return StepCommand(text=text, argv=tuple(text.split()))


def read_shell(fields: Fields) -> tuple[str, ...]:
    """Read ``shell``: a program with its arguments, as one text or as a list. Return it as argv."""
    value = fields.get("shell")
    if not isinstance(value, str):
        return tuple(word for word in fields.texts("shell") if word.strip())
    try:
        return split_command(value)
    except ValueError as error:
        fields.warn("shell", f"failed to parse shell: {error}")
        return tuple(value.split())


def read_log_output(fields: Fields) -> LogOutput | None:
    """Read ``logOutput``, whose value may be in any letter case."""
    word = fields.text("logOutput").lower()
    if not word:
        return None
    try:
        return LogOutput(word)
    except ValueError:
        fields.error("logOutput", f"invalid logOutput value: {word} (must be one of: separate, merged)")
        return None


def _output(fields: Fields) -> Output | None:
    value = fields.get("output")
    if value is None:
        return None
    if isinstance(value, str):
        name = value.strip().removeprefix("$").strip()
        return Output(name=name) if name else None
    inner = fields.mapping("output", _OUTPUT, error="output must be a string or object", unknown="ignore")
    if inner is None:
        return None
    name = inner.text("name").removeprefix("$").strip()
    if not name:
        fields.error("output", "output.name is required when using object form")
        return None
    key, omit = inner.get("key"), inner.get("omit")
    if key is not None and not isinstance(key, str):
        inner.warn("key", "key is ignored: it is not a string")
        key = ""
    if omit is not None and not isinstance(omit, bool):
        inner.warn("omit", "omit is ignored: it is not true or false")
        omit = False
    return Output(name=name, key=(key or "").strip(), omit=bool(omit))


def _signal(fields: Fields) -> str:
    name = fields.text("signalOnStop")
    if name and name not in _SIGNALS:
        fields.error("signalOnStop", f"invalid signal: {name}", hint=did_you_mean(name, _SIGNALS))
        return ""
    return name


def _executor(fields: Fields, values: dict[str, Any]) -> tuple[str, str]:
    """Read ``type`` and ``config``, or the older field ``executor``. Return (type, type in ``executor``)."""
    explicit, legacy = fields.text("type"), ""
    if (config := fields.mapping("config", None)) is not None:
        values["config"] = plain(config.raw)
    value = fields.get("executor")
    if value is None:
        return explicit, legacy
    for name in ("type", "config"):
        if fields.get(name) not in (None, "", {}):
            fields.error("executor", f"cannot use both '{name}' and 'executor' fields")
    if isinstance(value, str):
        return explicit, value.strip()
    unknown = "executor has invalid key"
    inner = fields.mapping("executor", _EXECUTOR, error="executor config must be string or map", unknown=unknown)
    if inner is not None:
        legacy = inner.text("type")
        if (config := inner.mapping("config", None)) is not None:
            values["config"] = plain(config.raw)
    return explicit, legacy


def _settle_type(partial: PartialStep, explicit: str, legacy: str, defaults: DagDefaults) -> None:
    """Set the executor type of a step, and the prefix of the name that it gets if it has none.

    ``explicit`` is the field ``type``, and ``legacy`` the type in the field ``executor``.
    """
    values = partial.values
    derived = ""
    if values.get("call") or values.get("parallel"):
        derived = "parallel" if values.get("parallel") else "dag"
    elif values.get("container") is not None and not legacy:
        derived = "docker"
    elif defaults.container and not legacy:
        derived = "container"
    elif defaults.ssh and not legacy:
        derived = "ssh"
    kind = explicit or derived or legacy
    if kind:
        values["type"] = kind
    if "config" in values:
        values["config"] = canonical_keys(kind, values["config"])
    if explicit or (legacy and kind == legacy):
        partial.name_prefix = kind
    elif values.get("container") is not None:
        partial.name_prefix = "docker"
    elif derived:
        partial.name_prefix = derived
    elif values.get("script") or str(partial.fields.get("script") or "").strip():
        # The prefix is "script" even if the script is ignored because the step has several commands.
        partial.name_prefix = "script"
    elif values.get("commands"):
        partial.name_prefix = "cmd"


def _depends(fields: Fields) -> tuple[str, ...]:
    # Steps named "1" and "2" are common, and so are lists of them without quotes.
    error = "depends must be a string or an array of strings"
    return tuple(name.strip() for name in fields.texts("depends", error=error, scalars=True))


_READERS: Readers = {
    "id": ("id", _id),
    "description": ("description", lambda fields: fields.text("description")),
    "stdout": ("stdout", lambda fields: fields.text("stdout")),
    "stderr": ("stderr", lambda fields: fields.text("stderr")),
    "shell": ("shell", lambda fields: read_shell(fields) or None),
    "shellPackages": ("shell_packages", lambda fields: fields.texts("shellPackages")),
    "env": ("env", read_env),
    "secrets": ("secrets", lambda fields: tuple(name.strip() for name in fields.texts("secrets", split=","))),
    "logOutput": ("log_output", read_log_output),
    "output": ("output", _output),
    "signalOnStop": ("signal_on_stop", _signal),
    "depends": ("depends", _depends),
    "continueOn": ("continue_on", read_continue_on),
    "retryPolicy": ("retry_policy", read_retry_policy),
    "repeatPolicy": ("repeat_policy", read_repeat_policy),
    "timeoutSec": ("timeout_sec", lambda fields: fields.seconds("timeoutSec", minimum=0)),
    "mailOnError": ("mail_on_error", lambda fields: fields.boolean("mailOnError")),
    "container": ("container", read_container),
    "parallel": ("parallel", read_parallel),
    "workerSelector": ("worker_selector", read_worker_selector),
    "pool": ("pool", lambda fields: read_pool_names(fields, "pool")),
    "lock": ("lock", lambda fields: read_pool_names(fields, "lock")),
    "rateLimit": ("rate_limit", read_rate_limits),
    "llm": ("llm", read_llm),
    "messages": ("messages", read_messages),
}
