# ruff: noqa: N815, D101, RUF012 - the fields are the JSON names, and say what they are
"""Schemas of the audit log: additions to Dagu's API."""

from typing import Any, Literal

from services.api.response_schemas.base import Schema

__all__ = ["AuditActorSchema", "AuditEntrySchema", "AuditPageSchema", "AuditTargetSchema"]


class AuditActorSchema(Schema):
    kind: str
    name: str
    id: str = ""
    role: str = ""
    address: str = ""


class AuditTargetSchema(Schema):
    """``workspace``: the one that the target belongs to, if it is not the default workspace."""

    kind: str
    name: str = ""
    id: str = ""
    workspace: str = ""


class AuditEntrySchema(Schema):
    """``operation`` is the type of a command, or an ``operationId`` if the request ended at the gateway.

    ``count``: how many equal requests the entry stands for. ``position`` and ``hash`` are absent for about a second,
    until the entry is in the chain.
    """

    id: str
    at: str
    actor: AuditActorSchema
    operation: str
    target: AuditTargetSchema
    outcome: Literal["done", "refused"]
    count: int
    code: str = ""
    requestId: str = ""
    commandId: str = ""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    position: int = 0
    hash: str = ""


class AuditPageSchema(Schema):
    entries: list[AuditEntrySchema]
    nextCursor: str | None
