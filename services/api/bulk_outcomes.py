"""Send one command for each of many things, and tell the outcome of each.

So each has its own check of role and state, and its own entry in the audit log, and an ``Idempotency-Key`` holds for
each.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from services.api.command_client import Accepted
from services.api.operations import Call
from services.api.problems import Problem
from shared.contracts.commands import Command

__all__ = ["BulkOutcome", "bulk_outcomes", "outcome_json"]

BulkOutcome = Problem | str
"""A refusal, or ``done``, or ``accepted`` if the outcome is not known yet."""


def bulk_outcomes(call: Call, names: Sequence[str], commands: Sequence[Command]) -> list[BulkOutcome]:
    """Send one command about each of the named things and return their outcomes."""
    sent = [call.send(command, key=_key(call.key, name)) for name, command in zip(names, commands, strict=True)]
    found = call.deps.commands.wait_for_all(sent)
    return [
        each if isinstance(each, Problem) else "accepted" if isinstance(each, Accepted) else "done" for each in found
    ]


def outcome_json(outcome: BulkOutcome) -> dict[str, Any]:
    """Return the fields of one result of a response."""
    if isinstance(outcome, Problem):
        return {"outcome": "refused", "code": outcome.code, "message": outcome.message}
    return {"outcome": outcome}


def _key(key: str | None, name: str) -> str | None:
    """Return the Idempotency-Key of the command about one thing, made of the request's."""
    if key is None:
        return None
    # Of the whole key as well: others may have the same beginning. No key has a space.
    return f"{key[:130]}:{hashlib.sha256(f'{key} {name}'.encode()).hexdigest()[:32]}"
