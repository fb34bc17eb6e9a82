"""Find the executor of a type of step: a built-in, or a plugin in the entry point group ``dagway.executors``."""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from services.worker.executors.base import Executor
from services.worker.executors.command import CommandExecutor
from shared.errors import InvalidInput
from shared.language.steps.executor_types import COMMAND_TYPES, CONTAINER_TYPES, GHA_TYPES, PLUGINS

__all__ = ["executor_for"]

# As text: a module is imported for the first step of its type, so its libraries may be missing until then.
_BUILT_IN = {
    "http": "http:HttpExecutor",
    "jq": "jq:JqExecutor",
    "archive": "archive.executor:ArchiveExecutor",
    "mail": "mail:MailExecutor",
    "hitl": "hitl:ApprovalExecutor",
    "ssh": "ssh:SshExecutor",
    **dict.fromkeys(CONTAINER_TYPES, "container.docker:DockerExecutor"),
    "chat": "chat:ChatExecutor",
    **dict.fromkeys(GHA_TYPES, "container.gha:GhaExecutor"),
}


@cache
def executor_for(step_type: str) -> Executor:
    """Return the executor of a type of step. A plugin's entry point names a class or function that returns an executor.

    Raises:
        InvalidInput: the type does not exist, or a library that its executor needs is not installed.
    """
    if step_type in COMMAND_TYPES:
        return CommandExecutor()
    if step_type in _BUILT_IN:
        module, _, name = _BUILT_IN[step_type].partition(":")
        built_in: Executor = getattr(import_module(f"{__name__}.{module}"), name)()
        return built_in
    for entry in entry_points(group=PLUGINS, name=step_type):
        plugin: Executor = entry.load()()
        return plugin
    raise InvalidInput(f'executor type "{step_type}" is not registered')
