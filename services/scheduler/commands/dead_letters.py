"""Handlers of the commands that decide about dead letters; ``loops.dead_letters`` carries the decisions out."""

from typing import Any

from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.errors import NotFound
from shared.transport.base import DeadLetterDecision

__all__ = ["HANDLERS"]


def _return(batch: Batch, command: c.ReturnDeadLetter) -> dict[str, Any]:
    return _decide(batch, command.letter_id, DeadLetterDecision.RETURN, command.by)


def _discard(batch: Batch, command: c.DiscardDeadLetter) -> dict[str, Any]:
    return _decide(batch, command.letter_id, DeadLetterDecision.DISCARD, command.by)


def _decide(batch: Batch, letter_id: str, decision: DeadLetterDecision, by: str) -> dict[str, Any]:
    found = batch.tx.dead_letters.lock(letter_id)
    if found is None:
        raise NotFound(f"There is no dead letter {letter_id[:40]!r}")
    batch.tx.dead_letters.decide(letter_id, decision.value, by=by)
    return {"name": found["queue"]}


HANDLERS: Handlers = {
    c.ReturnDeadLetter: _return,
    c.DiscardDeadLetter: _discard,
}
"""The handler of each command about dead letters."""
