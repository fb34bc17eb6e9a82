"""The requests of operations: audit. Written by ``python -m scripts.client_operations``."""

from datetime import datetime
from typing import Literal

from dagway.client.api_call import ApiCall, model
from services.api.response_schemas.audit import AuditPageSchema

__all__ = ["list_audit_entries"]


def list_audit_entries(
    *,
    actor: str | None = None,
    target: str | None = None,
    target_kind: str | None = None,
    operation: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    cursor: str | None = None,
    limit: int | None = None,
    format: Literal["json", "ndjson"] | None = None,
) -> ApiCall[AuditPageSchema]:
    """List the entries of the audit log that match all filters, newest first."""
    return ApiCall(
        "GET",
        "/audit",
        model(AuditPageSchema),
        query={
            "actor": actor,
            "target": target,
            "targetKind": target_kind,
            "operation": operation,
            "outcome": outcome,
            "from": since,
            "to": until,
            "cursor": cursor,
            "limit": limit,
            "format": format,
        },
    )
