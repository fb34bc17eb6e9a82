"""What only the worker can tell once an execution is over: conditions and patterns that its policies name."""

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.worker.inputs.conditions import check_conditions
from services.worker.inputs.environment import Environment
from services.worker.inputs.workspace import LogPaths
from services.worker.process.outcome import Result
from services.worker.process.shells import condition_shell
from services.worker.process.small_commands import Interrupted, exit_code_in, run_command_in
from services.worker.process.supervise import Supervisor
from shared.contracts.tasks import Task
from shared.errors import InvalidInput
from shared.language.expansion.expand import RunCommand, Scope, StepFacts, expand
from shared.language.model import RetryPolicy, Step
from shared.language.patterns import PatternError, line_matcher

__all__ = ["look_back", "retry_numbers"]

_MAX_LINE = 65_536
_REPORTED = {"limit": "retry_limit", "intervalSec": "retry_interval_s"}


def look_back(
    task: Task,
    result: Result,
    outputs: dict[str, str],
    environment: Environment,
    supervisor: Supervisor,
    *,
    cwd: str,
    paths: LogPaths,
) -> dict[str, Any]:
    """Return the fields of ``AttemptFinished`` that the step's policies ask for, once its logs are kept."""
    step = task.step
    facts: dict[str, Any] = {}
    if result.outcome == "failed" and step.continue_on.output:
        facts["continue_output_matched"] = _printed(step.continue_on.output, Path(paths.stdout_whole))
    if step.repeat_policy is not None and step.repeat_policy.condition is not None:
        facts["repeat_condition_met"] = _condition_met(
            task, outputs, _with_itself(environment, step, result, outputs, paths), supervisor, cwd
        )
    return facts


def _printed(patterns: Sequence[str], log: Path) -> bool:
    """Whether a line of any try has one of the texts, or matches one that begins with ``re:``.

    A bad pattern matches nothing.
    """
    tests: list[Callable[[str], object]] = []
    for pattern in patterns:
        with suppress(PatternError):
            tests.append(line_matcher(pattern) or re.compile(re.escape(pattern)).search)
    try:
        with log.open("rb") as file:
            for line in iter(lambda: file.readline(_MAX_LINE), b""):
                text = line.decode(errors="replace").rstrip("\n")
                if any(test(text) for test in tests):
                    return True
    except FileNotFoundError:
        return False
    return False


def _with_itself(
    environment: Environment, step: Step, result: Result, outputs: dict[str, str], paths: LogPaths
) -> Environment:
    """Let ``${id.…}`` of the step mean the execution that is just over: what came with its task is one older."""
    if not step.id:
        return environment
    output = outputs.get(step.output.name) if step.output is not None else None
    own = StepFacts(paths.stdout_whole, paths.stderr_whole or paths.stdout_whole, result.exit_code, output)
    textual, full = (
        replace(scope, steps={**scope.steps, step.id: own}) for scope in (environment.textual, environment.full)
    )
    return replace(environment, textual=textual, full=full)


def _condition_met(
    task: Task, outputs: dict[str, str], environment: Environment, supervisor: Supervisor, cwd: str
) -> bool | None:
    condition = task.step.repeat_policy.condition if task.step.repeat_policy is not None else None
    if condition is None:
        return None
    # Its own output goes before what ancestors put out under the same name.
    textual, full = (replace(scope, maps=(outputs, *scope.maps)) for scope in (environment.textual, environment.full))
    process = {**environment.process, **outputs}
    try:
        shell = condition_shell(task.step.shell, task.shell, full)
        return not check_conditions(
            (condition,),
            (textual, full),
            run_command_in(supervisor, process, cwd),
            exit_code_in(supervisor, process, cwd, shell),
        )
    except (ValueError, Interrupted):
        return None


def retry_numbers(policy: RetryPolicy | None, scope: Scope, run_command: RunCommand) -> dict[str, Any]:
    """Return the numbers of a retry that were written as text.

    Raises:
        InvalidInput: one cannot be evaluated, or is none.
    """
    found: dict[str, Any] = {}
    if policy is None:
        return found
    for name, value in (("limit", policy.limit), ("intervalSec", policy.interval_sec)):
        if not isinstance(value, str):
            continue
        try:
            text = expand(value, scope, run_command)
            found[name] = _whole(text) if name == "limit" else _seconds(text)
        except (ValueError, OverflowError) as error:
            raise InvalidInput(f"retryPolicy.{name}: {error}") from error
    return {_REPORTED[name]: number for name, number in found.items()}


def _whole(text: str) -> int:
    return int(_seconds(text))


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text.strip()!r} is not a number")
    return number
