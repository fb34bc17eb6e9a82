"""Commands as a gateway sends them: with an actor."""

from typing import TypeVar

from shared.contracts.actors import Actor
from shared.contracts.commands import Command

__all__ = ["named"]

C = TypeVar("C", bound=Command)


def named(command: C) -> C:
    """Return ``command`` with an administrator of the name in ``by`` as its actor, if it has none."""
    if command.actor is not None:
        return command
    kind = "anonymous" if command.by == "anonymous" else "token"
    return command.model_copy(update={"actor": Actor(kind=kind, id=command.by, name=command.by, role="admin")})
