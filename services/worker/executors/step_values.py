"""The values in a step's fields, for executors: expanded, or read as a number."""

import os
import threading
from typing import Any

from services.worker.executors.base import Job
from services.worker.process.capture import run_command_in
from shared.errors import InvalidInput
from shared.language.expansion.expand import RunCommand, expand

__all__ = ["evaluate", "positive_seconds"]


def _run_commands(job: Job) -> RunCommand:
    """Return the function that runs the back-quoted commands in a step's fields."""
    cwd = job.working_dir if job.working_dir.is_dir() else os.sep
    return run_command_in(job.supervisor, job.environment.process, str(cwd))


def evaluate(job: Job, value: Any) -> Any:
    """Expand variables and back-quoted commands in ``value``, or in every text of a list or map.

    Raises ``ExpansionError`` if a required variable is not set, ``CommandFailed`` if a command fails (both are
    ``ValueError``), and ``Interrupted`` if a stop or the timeout ends a command or a filter.
    """
    if isinstance(value, str):
        return expand(value, job.environment.full, _run_commands(job)) if "$" in value or "`" in value else value
    if isinstance(value, dict):
        return {key: evaluate(job, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [evaluate(job, one) for one in value]
    return value


def positive_seconds(config: dict[str, Any], name: str, default: float = 0) -> float:
    """Read the option ``name``, a number of seconds as a number or a text. Negative numbers count as 0.

    Raises:
        InvalidInput: the option is not a number, or more than one can wait for, such as infinity.
    """
    value = config.get(name, default)
    try:
        seconds = float(value)
        if not seconds <= threading.TIMEOUT_MAX:
            raise ValueError("too long, or NaN")
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} must be a number of seconds, not {value!r}") from error
    return max(seconds, 0.0)
