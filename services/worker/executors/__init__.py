"""Executors by type of step. Plugins are found through the entry point group ``dagway.executors``."""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from services.worker.executors.base import Executor
from services.worker.executors.command import CommandExecutor
from shared.errors import InvalidInput
from shared.language.steps.executor_types import PLUGINS

__all__ = ["executor_for"]

# By name: a module is imported when its first step comes, so that its libraries need not be installed.
_BUILT_IN = {
    "http": "http:HttpExecutor",
    "jq": "jq.executor:JqExecutor",
    "archive": "archive.executor:ArchiveExecutor",
    "mail": "mail:MailExecutor",
    "hitl": "hitl:ApprovalExecutor",
    "ssh": "ssh:SshExecutor",
    **dict.fromkeys(("docker", "container"), "container.docker:DockerExecutor"),
    "chat": "chat:ChatExecutor",
    **dict.fromkeys(("gha", "github_action", "github-action"), "container.gha:GhaExecutor"),
}


@cache
def executor_for(step_type: str) -> Executor:
    """Return the executor of a type of step. An entry point names a class, or a function that returns an executor.

    Raises:
        InvalidInput: there is no such type, or a library that it needs is not installed.
    """
    if step_type in ("", "command", "shell"):
        return CommandExecutor()
    if step_type in _BUILT_IN:
        module, _, name = _BUILT_IN[step_type].partition(":")
        built_in: Executor = getattr(import_module(f"{__name__}.{module}"), name)()
        return built_in
    for entry in entry_points(group=PLUGINS, name=step_type):
        plugin: Executor = entry.load()()
        return plugin
    raise InvalidInput(f'executor type "{step_type}" is not registered')
