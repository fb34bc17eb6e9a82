"""The message with which a gateway asks for an entry in the audit log."""

from typing import Any, Literal

from pydantic import Field

from shared.contracts.actors import Actor
from shared.contracts.base import Message, Part

__all__ = ["AuditEntry", "AuditTarget"]


class AuditTarget(Part):
    """What an operation is about. ``name`` and ``id`` are empty if a refused request did not say them."""

    kind: str
    name: str = ""
    id: str = ""


class AuditEntry(Message):
    """An operation that ended at the gateway and sent no command: refused there, a login, or sent to a remote node.

    The id of the envelope is the id of the entry, so an entry that is delivered twice is recorded once.
    """

    type = "audit.entry"
    actor: Actor
    operation: str
    """The ``operationId`` of the API."""
    target: AuditTarget
    outcome: Literal["done", "refused"]
    code: str = ""
    """The error code of the API, if the operation was refused."""
    count: int = Field(default=1, ge=1)
    """How many equal requests within a few seconds the entry stands for."""
    facts: dict[str, Any] = Field(default_factory=dict)
    """Small facts about the operation; never secrets."""
