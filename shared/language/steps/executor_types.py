"""The executor types, and the fields that a step of each type may have."""

from functools import cache
from importlib.metadata import entry_points
from typing import NamedTuple

from shared.language.model import Step
from shared.language.yaml.fields import Fields

__all__ = [
    "COMMAND_TYPES",
    "CONTAINER_TYPES",
    "GHA_TYPES",
    "PLUGINS",
    "SUB_DAG_TYPES",
    "check_allowed_fields",
    "known_types",
    "plugin_types",
]


class AllowedFields(NamedTuple):
    """The fields that a step of one executor type may have. ``several``: ``command`` may be a list."""

    command: bool = False
    several: bool = False
    script: bool = False
    own_shell: bool = False
    container: bool = False
    call: bool = False
    selector: bool = False
    llm: bool = False


COMMAND_TYPES = ("", "command", "shell")
CONTAINER_TYPES = ("docker", "container")
GHA_TYPES = ("gha", "github_action", "github-action")
SUB_DAG_TYPES = ("dag", "subworkflow", "parallel")
"""All names of one type of step each. In this order they are in the JSON Schema and in messages."""
PLUGINS = "dagway.executors"
"""Entry point group of the executors that plugins bring. This module reads their names and imports nothing."""

_NOTHING = AllowedFields()
_PLUGIN = AllowedFields(command=True, several=True, script=True, own_shell=True)
"""The fields that steps of plugins' types may have. A plugin checks them when its step runs."""
_TABLE: dict[str, AllowedFields] = {
    **dict.fromkeys(COMMAND_TYPES, AllowedFields(command=True, several=True, script=True, own_shell=True)),
    **dict.fromkeys(CONTAINER_TYPES, AllowedFields(command=True, several=True, container=True)),
    "ssh": AllowedFields(command=True, several=True, own_shell=True),
    **dict.fromkeys(("http", "jq"), AllowedFields(command=True, script=True)),
    **dict.fromkeys(("archive", *GHA_TYPES), AllowedFields(command=True)),
    **dict.fromkeys(("mail", "hitl"), _NOTHING),
    **dict.fromkeys(SUB_DAG_TYPES, AllowedFields(call=True, selector=True)),
    "chat": AllowedFields(llm=True),
}


def known_types() -> tuple[str, ...]:
    """Return all executor types, including aliases and the types of installed plugins."""
    return (*(name for name in _TABLE if name), *sorted(plugin_types()))


@cache
def plugin_types() -> frozenset[str]:
    """Return the executor types of the plugins that are installed on this machine."""
    return frozenset(entry.name for entry in entry_points(group=PLUGINS))


def check_allowed_fields(fields: Fields, step: Step) -> None:
    """Report each field of ``step`` that its executor type does not support."""
    can = _TABLE.get(step.type) or (_PLUGIN if step.type in plugin_types() else _NOTHING)
    head = f'executor type "{step.type or "command"}" does not support'
    if step.commands and not can.command:
        fields.error("command", f"{head} command field")
    elif len(step.commands) > 1 and not can.several:
        fields.error("command", "executor does not support multiple commands")
    if step.script and not can.script:
        name = "script" if "script" in fields else "command"
        hint = "a command of several lines is a script" if name == "command" else ""
        fields.error(name, f"{head} script field", hint=hint)
    if step.shell is not None and not can.own_shell:
        fields.error("shell", f"{head} shell configuration")
    if step.container is not None and not can.container:
        fields.error("container", f"{head} container field")
    if (step.call or step.parallel is not None) and not can.call:
        fields.error("call", f"{head} sub-DAG execution")
    if step.worker_selector and not can.selector:
        fields.error("workerSelector", f"{head} workerSelector field")
    if (step.llm is not None or step.messages) and not can.llm:
        fields.error("llm" if step.llm is not None else "messages", f"{head} llm field")
