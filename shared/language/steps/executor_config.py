"""Check the command and config of http, jq, archive and GitHub Actions steps when a workflow is loaded.

What is found is a warning where Dagu loads the workflow too: the other steps run, and this one fails when it is its
turn, because the worker checks all values again after expansion. Values with a variable are not checked here.
"""

import re
from collections.abc import Callable

from shared.language.issues import did_you_mean
from shared.language.model import Step
from shared.language.steps.executor_types import GHA_TYPES
from shared.language.yaml.fields import Fields

__all__ = ["ARCHIVE_OPERATIONS", "GHA_ACTION", "check_config"]

ARCHIVE_OPERATIONS = ("create", "extract", "list")
GHA_ACTION = re.compile(r"(?:[\w.-]+/[\w.-]+(?:/[\w./-]+)?@[\w./-]+|docker://\S+|\./\S*)\Z")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def check_config(fields: Fields, step: Step) -> None:
    """Report each value that the step's executor would refuse."""
    check = _CHECKS.get(step.type)
    if check is not None:
        check(fields, step)


def _text(step: Step) -> str:
    return step.commands[0].text.strip() if step.commands else ""


def _has_command(fields: Fields, step: Step, what: str, *, needed: bool = False) -> bool:
    """Report a missing command, as an error if it is ``needed``.

    Returns whether the step has a command without variables, which can be checked.
    """
    if not _text(step) and not any(fields.get(name) is not None for name in ("command", "script")):
        report = fields.issues.error if needed else fields.issues.warn
        report(f'executor type "{step.type}" needs the field command: {what}', fields.path, fields.at)
    text = _text(step)
    return bool(text) and "$" not in text and "`" not in text


def _http(fields: Fields, step: Step) -> None:
    if not _has_command(fields, step, "METHOD URL"):
        return
    words = _text(step).split()
    if len(words) == 1:
        fields.warn("command", "an http step needs the method and the URL", hint=f"command: GET {words[0]}")
    elif words[0].upper() not in _METHODS:
        hint = did_you_mean(words[0].upper(), _METHODS)
        # Some servers have methods of their own, such as PURGE.
        fields.warn("command", f"unknown http method: {words[0]}", hint=hint)


def _jq(fields: Fields, step: Step) -> None:
    _has_command(fields, step, "a jq filter")


def _archive(fields: Fields, step: Step) -> None:
    operation = _text(step).lower()
    if _has_command(fields, step, ", ".join(ARCHIVE_OPERATIONS), needed=True) and operation not in ARCHIVE_OPERATIONS:
        hint = did_you_mean(operation, ARCHIVE_OPERATIONS)
        message = f"unknown archive operation: {_text(step)} (must be one of: {', '.join(ARCHIVE_OPERATIONS)})"
        fields.warn("command", message, hint=hint)
    if not _text(step):
        return
    if not step.config.get("source"):
        fields.warn("config", "config.source is required")
    elif operation == "create" and not step.config.get("destination") and not step.config.get("dryRun"):
        fields.warn("config", "config.destination is required to create an archive")


def _gha(fields: Fields, step: Step) -> None:
    if _has_command(fields, step, "owner/action@ref") and not GHA_ACTION.match(_text(step)):
        fields.warn("command", f"invalid GitHub action: {_text(step)}", hint="write owner/action@ref")


_CHECKS: dict[str, Callable[[Fields, Step], None]] = {
    "http": _http,
    "jq": _jq,
    "archive": _archive,
    **dict.fromkeys(GHA_TYPES, _gha),
}
