"""Dead letters, for administrators of the server: additions to Dagu's API.

A gateway may not read the broker's queues. It shows the table in which a scheduler lists the letters, and its commands
write into that table what the scheduler is to do with them.
"""

import re
from collections.abc import Callable
from functools import partial

from pydantic import Field

from services.api.bulk_outcomes import bulk_outcomes, outcome_json
from services.api.operations import ApiResponse, Body, Call, Operations, ok
from services.api.problems import bad_request
from services.api.representations.json_values import precise
from services.api.response_schemas.dead_letters import DeadLetterOutcomesSchema, DeadLettersSchema
from shared.contracts.commands import Command, DiscardDeadLetter, ReturnDeadLetter
from shared.store.reads.reader import DeadLetterRow

__all__ = ["DEAD_LETTERS"]

DEAD_LETTERS = Operations()
_deciding = partial(DEAD_LETTERS.post, role="admin", reach="server", response=DeadLetterOutcomesSchema, pending=False)
_MOST = 500
_ID = re.compile("[0-9a-f]{32}")


class LettersBody(Body):
    """``ids``: dead letters, each named once."""

    ids: list[str] = Field(min_length=1, max_length=_MOST)


@DEAD_LETTERS.get("/dead-letters", id="listDeadLetters", role="admin", reach="server", response=DeadLettersSchema)
def list_letters(call: Call) -> ApiResponse:
    """List the first 500 dead letters: messages that could not be handled, as they were a few seconds ago."""
    found = call.deps.reads.dead_letters(_MOST + 1)
    return ok({"deadLetters": [_shown(each) for each in found[:_MOST]], "more": len(found) > _MOST})


@_deciding("/dead-letters/bulk/return", id="returnDeadLetters")
def return_letters(call: Call, body: LettersBody) -> ApiResponse:
    """Send up to 500 dead letters to the broker queues that they came from.

    A scheduler does it within seconds. A message that still cannot be handled becomes a dead letter again. The response
    says of each whether it will be returned, or why not.
    """
    return _each(call, body, lambda letter: ReturnDeadLetter(by=call.user, letter_id=letter))


@_deciding("/dead-letters/bulk/discard", id="discardDeadLetters")
def discard_letters(call: Call, body: LettersBody) -> ApiResponse:
    """Delete up to 500 dead letters.

    A scheduler does it within seconds. The response says of each whether it will be deleted, or why not.
    """
    return _each(call, body, lambda letter: DiscardDeadLetter(by=call.user, letter_id=letter))


def _each(call: Call, body: LettersBody, make: Callable[[str], Command]) -> ApiResponse:
    letters = list(dict.fromkeys(body.ids))
    for letter in letters:
        if not _ID.fullmatch(letter):
            raise bad_request(f"ids: {letter[:40]!r} must be the id of a dead letter", field="ids")
    outcomes = bulk_outcomes(call, letters, [make(letter) for letter in letters])
    return ok(
        {
            "results": [
                {"id": letter, **outcome_json(outcome)} for letter, outcome in zip(letters, outcomes, strict=True)
            ]
        }
    )


def _shown(row: DeadLetterRow) -> dict[str, object]:
    return {
        "id": row.id,
        "messageId": row.message_id,
        "queue": row.queue,
        "reason": row.reason,
        "messageType": row.message_type,
        "about": row.about,
        "size": row.size,
        "firstSeenAt": precise(row.first_seen_at),
        "decision": row.decision,
        "decidedBy": row.decided_by,
        "failure": row.failure,
    }
