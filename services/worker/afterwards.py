"""What only the worker can tell once an execution is over: conditions and patterns that its policies name."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.worker.conditions import check_conditions
from services.worker.environment import CommandFailed, Environment
from services.worker.outcome import Result
from services.worker.runner import Interrupted, exit_code_in, run_command_in
from services.worker.shells import condition_shell
from services.worker.supervise import Supervisor
from services.worker.workspace import LogPaths
from shared.contracts.tasks import Task
from shared.spec.expand import ExpandFault, RunCommand, Scope, StepFacts, expand
from shared.spec.model import RetryPolicy, Step
from shared.spec.patterns import PatternFault, line_test

__all__ = ["look_back"]

_MAX_LINE = 65_536


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
    step, outcome = task.step, result.outcome
    facts: dict[str, Any] = {}
    if outcome == "failed" and step.continue_on.output:
        facts["continue_output_matched"] = _printed(step.continue_on.output, Path(paths.stdout_whole))
    if step.repeat_policy is not None and step.repeat_policy.condition is not None:
        facts["repeat_condition_met"] = _condition_met(
            task, outputs, _with_itself(environment, step, result, outputs, paths), supervisor, cwd
        )
    if outcome in {"failed", "broken"} and step.retry_policy is not None:
        run_command = run_command_in(supervisor, environment.process, cwd)
        facts |= _retry_numbers(step.retry_policy, environment.full, run_command)
    return facts


def _printed(patterns: Sequence[str], log: Path) -> bool:
    """Whether a line of any try has one of the texts, or matches one that begins with ``re:``.

    A bad pattern matches nothing.
    """
    tests: list[Callable[[str], object]] = []
    for pattern in patterns:
        with suppress(PatternFault):
            tests.append(line_test(pattern) or re.compile(re.escape(pattern)).search)
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


def _retry_numbers(policy: RetryPolicy, scope: Scope, run_command: RunCommand) -> dict[str, Any]:
    """Evaluate what was written as text."""
    found: dict[str, Any] = {}
    for name, value in (("retry_limit", policy.limit), ("retry_interval_s", policy.interval_sec)):
        if isinstance(value, str):
            try:
                number = float(expand(value, scope, run_command).strip() or 0)
                found[name] = int(number) if name == "retry_limit" else number
            except (ExpandFault, CommandFailed, ValueError, OverflowError, Interrupted):
                found[name] = 0
    return found
