"""Commands about dead letters. They are sent in the default workspace, because letters belong to the whole server."""

from shared.contracts.commands.base import Command

__all__ = ["DiscardDeadLetter", "ReturnDeadLetter"]


class ReturnDeadLetter(Command):
    """Send a dead letter to the broker queue that it came from. A scheduler does it soon after."""

    type = "dead_letter.return"
    letter_id: str


class DiscardDeadLetter(Command):
    """Delete a dead letter. A scheduler does it soon after."""

    type = "dead_letter.discard"
    letter_id: str
