"""Evaluate the parts of a step's policies that need the worker.

These are the condition of ``repeatPolicy``, the output patterns of ``continueOn`` and the numbers of ``retryPolicy``
that contain variables or commands.
"""

import math
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.worker.inputs.conditions import check_conditions
from services.worker.inputs.environment import Environment
from services.worker.inputs.named_files import EVERYTHING
from services.worker.output.files import LogPaths
from services.worker.process.capture import Interrupted, exit_code_in, run_command_in
from services.worker.process.jq_filter import run_filter_in
from services.worker.process.outcome import Result
from services.worker.process.shells import condition_shell
from services.worker.process.supervisor import Supervisor
from shared.contracts.tasks import Task
from shared.errors import InvalidInput
from shared.language.expansion.expand import RunCommand, Scope, StepFacts, expand
from shared.language.model import Condition, RetryPolicy, Step
from shared.language.patterns import PatternError, line_matcher

__all__ = ["evaluate_policies", "retry_numbers"]

_MAX_LINE = 65_536
_REPORTED = {"limit": "retry_limit", "intervalSec": "retry_interval_s"}


def evaluate_policies(
    task: Task,
    result: Result,
    outputs: dict[str, str],
    environment: Environment,
    supervisor: Supervisor,
    *,
    cwd: Callable[[], str],
    paths: LogPaths,
) -> dict[str, Any]:
    """Return the fields of ``AttemptFinished`` that the step's policies need. ``cwd`` is called if a command may run.

    Call it after ``OutputFiles.keep``, which writes the files that the output patterns are searched in.
    """
    step = task.step
    facts: dict[str, Any] = {}
    if result.outcome == "failed" and step.continue_on.output:
        facts["continue_output_matched"] = _output_matches(step.continue_on.output, Path(paths.stdout_whole))
    if step.repeat_policy is not None and (condition := step.repeat_policy.condition) is not None:
        own = _with_own_facts(environment, step, result, outputs, paths)
        facts["repeat_condition_met"] = _condition_met(condition, task, outputs, own, supervisor, cwd=cwd())
    return facts


def _output_matches(patterns: Sequence[str], log: Path) -> bool:
    """Whether a line of ``log`` contains one of ``patterns`` or, for ``re:`` patterns, matches it.

    ``log`` holds the output of all attempts of the node so far. An invalid pattern matches nothing. Nothing matches
    if the step has put something else in the place of the file: to open a pipe would take until somebody writes to it.
    """
    tests: list[Callable[[str], object]] = []
    for pattern in patterns:
        with suppress(PatternError):
            tests.append(line_matcher(pattern) or re.compile(re.escape(pattern)).search)
    try:
        with os.fdopen(EVERYTHING.open_to_use(log), "rb") as file:
            for line in iter(lambda: file.readline(_MAX_LINE), b""):
                text = line.decode(errors="replace").rstrip("\n")
                if any(test(text) for test in tests):
                    return True
    except OSError:
        return False
    return False


def _with_own_facts(
    environment: Environment, step: Step, result: Result, outputs: dict[str, str], paths: LogPaths
) -> Environment:
    """Return an environment in which ``${id.…}`` of the step itself means this attempt, not the previous one."""
    if not step.id:
        return environment
    output = outputs.get(step.output.name) if step.output is not None else None
    own = StepFacts(paths.stdout_whole, paths.stderr_whole or paths.stdout_whole, result.exit_code, output)
    textual, full = (
        replace(scope, steps={**scope.steps, step.id: own}) for scope in (environment.textual, environment.full)
    )
    return replace(environment, textual=textual, full=full)


def _condition_met(
    condition: Condition,
    task: Task,
    outputs: dict[str, str],
    environment: Environment,
    supervisor: Supervisor,
    *,
    cwd: str,
) -> bool | None:
    """Return whether the condition of ``repeatPolicy`` is met; ``None`` if that cannot be found out."""
    run_filter = run_filter_in(supervisor)
    # The step's own output wins over an earlier step's output of the same name.
    textual, full = (
        replace(scope, maps=(outputs, *scope.maps), run_filter=run_filter)
        for scope in (environment.textual, environment.full)
    )
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
    """Evaluate the numbers of a retry policy that are texts; return the fields of ``AttemptFinished`` for them.

    Raises:
        InvalidInput: a text cannot be evaluated, or is not a number.
    """
    found: dict[str, Any] = {}
    if policy is None:
        return found
    for name, value in (("limit", policy.limit), ("intervalSec", policy.interval_sec)):
        if not isinstance(value, str):
            continue
        try:
            text = expand(value, scope, run_command)
            found[name] = _whole(text) if name == "limit" else _number(text)
        except (ValueError, OverflowError) as error:
            raise InvalidInput(f"retryPolicy.{name}: {error}") from error
    return {_REPORTED[name]: number for name, number in found.items()}


def _whole(text: str) -> int:
    return int(_number(text))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text.strip()!r} is not a number")
    return number
