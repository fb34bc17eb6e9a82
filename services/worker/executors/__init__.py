"""Executors by step type. Others are found through the entry point group ``dagway.executors``."""

from functools import cache
from importlib.metadata import entry_points

from services.worker.executors.base import Executor
from services.worker.executors.command import CommandExecutor
from shared.errors import InvalidInput

__all__ = ["GROUP", "executor_for"]

GROUP = "dagway.executors"


@cache
def executor_for(step_type: str) -> Executor:
    """Return the executor of a step type; an entry point names a class or function that makes one.

    Raises:
        InvalidInput: no executor has that name.
    """
    if step_type in ("", "command", "shell"):
        return CommandExecutor()
    for entry in entry_points(group=GROUP, name=step_type):
        made: Executor = entry.load()()
        return made
    raise InvalidInput(f'executor type "{step_type}" is not registered')
