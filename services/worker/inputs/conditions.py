"""Evaluate preconditions on the worker, in the step's own environment and directory."""

from collections.abc import Callable, Sequence

from shared.contracts.events import UNMET
from shared.language.expansion.expand import RunCommand, Scope, expand
from shared.language.expansion.shell_text import shell_command
from shared.language.model import Condition
from shared.language.patterns import PatternError, line_matcher

__all__ = ["check_conditions", "check_each"]


def check_each(
    conditions: Sequence[Condition],
    scopes: tuple[Scope, Scope],
    run_command: RunCommand,
    exit_code: Callable[[str], int],
) -> tuple[list[str], str]:
    """Return one text for each condition (why it is not met; empty if it is), and the reason to skip the step or run.

    The reason is empty if all are met. Unlike in ``check_conditions``, a condition that cannot be evaluated counts as
    not met; its error is then the reason.
    """
    unmet, broken = [], []
    for condition in conditions:
        try:
            unmet += check_conditions([condition], scopes, run_command, exit_code) or [""]
        except ValueError as error:
            unmet.append(str(error))
            broken.append(str(error))
    return unmet, "; ".join(broken or filter(None, unmet))


def check_conditions(
    conditions: Sequence[Condition],
    scopes: tuple[Scope, Scope],
    run_command: RunCommand,
    exit_code: Callable[[str], int],
) -> list[str]:
    """Return one text for each condition (why it is not met; empty if it is), or an empty list if all are met.

    ``scopes`` are the scopes for textual and full expansion. A condition without ``expected`` is a command, which
    ``exit_code`` runs. Every condition is evaluated. Raises what ``run_command`` and ``exit_code`` raise.
    """
    found = [_unmet(condition, scopes, run_command, exit_code) for condition in conditions]
    return found if any(found) else []


def _unmet(
    condition: Condition, scopes: tuple[Scope, Scope], run_command: RunCommand, exit_code: Callable[[str], int]
) -> str:
    textual, full = scopes
    if condition.expected:
        actual = expand(condition.condition, full, run_command)
        met = _matches(actual, condition.expected)
        reason = f'expected "{condition.expected}", got "{actual}"'
    else:
        code = exit_code(shell_command(condition.condition, textual))
        met = code == 0
        reason = f"exit status {code}"
    if met != condition.negate:
        return ""
    return f"{UNMET}: {'condition matched but negate is true' if condition.negate else reason}"


def _matches(actual: str, expected: str) -> bool:
    lines = actual.splitlines() or [""]
    try:
        test = line_matcher(expected)
    except PatternError:
        return False
    return expected in lines if test is None else any(map(test, lines))
