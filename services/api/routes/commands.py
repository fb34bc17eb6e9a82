"""The recorded outcomes of commands: an addition to Dagu's API."""

from typing import Any

from services.api.operations import ApiResponse, Call, Operations, ok
from services.api.problems import not_found
from services.api.representations import json_values
from services.api.requests.workspace_names import stored_command_id
from services.api.response_schemas.runs import CommandSchema
from shared.contracts.commands import BEGUN
from shared.store.reads.reader import DeadLetterRow
from shared.transport.base import COMMANDS as BROKER_QUEUE
from shared.workspaces import MARK

__all__ = ["COMMANDS"]

COMMANDS = Operations()
_MAX_KEY_CHARS = 200


@COMMANDS.get("/commands/{commandId}", id="getCommand", role="operator", response=CommandSchema)
def command_outcome(call: Call, command_id: str) -> ApiResponse:
    """Return the recorded outcome of a command.

    The command's id is the Idempotency-Key of the request that sent it, or the ``commandId`` of the 202 response.
    """
    known = len(command_id) <= _MAX_KEY_CHARS and MARK not in command_id and "\0" not in command_id
    stored = stored_command_id(call.workspace, command_id)
    found = call.deps.reads.command(stored) if known else None
    if found is None and known and (letter := call.deps.reads.dead_letter_of(stored, BROKER_QUEUE.name)):
        return ok(_failed(command_id, letter))
    if found is None:
        raise not_found(f"Command {command_id[:200]!r} has no recorded outcome: it is pending, too old or unknown")
    error = (found.reply or {}).get("error") or {}
    result = (found.reply or {}).get("result") or {}
    return ok(
        {
            "commandId": found.command_id,
            "type": found.type,
            "outcome": found.outcome,
            "recordedAt": json_values.precise(found.at),
            "result": {name: value for name, value in result.items() if name != BEGUN},
            **({"error": {"code": error.get("code", ""), "message": error.get("message", "")}} if error else {}),
        }
    )


def _failed(command_id: str, letter: DeadLetterRow) -> dict[str, Any]:
    message = "No scheduler could carry it out. It is a dead letter: an administrator can see why, and return it"
    return {
        "commandId": command_id,
        "type": letter.message_type,
        "outcome": "failed",
        "recordedAt": json_values.precise(letter.first_seen_at),
        "result": {},
        "error": {"code": "internal_error", "message": message},
    }
