"""The JSON of entries of the audit log."""

from datetime import UTC
from typing import Any

from services.api.representations.json_values import sparse
from shared.store.reads.reader import AuditRow
from shared.workspaces import MARK, plain_name, workspace_of

__all__ = ["audit_entry"]


def audit_entry(row: AuditRow) -> dict[str, Any]:
    """Return the JSON of an entry, without empty fields."""
    # A failed login may have any name. It belongs to no workspace.
    name = row.target_name.replace(MARK, " ") if row.target_kind == "user" else row.target_name
    return {
        "id": row.id,
        # With six digits also at a full second, as in the chain: sorting the text sorts by time.
        "at": row.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "actor": {
            "kind": row.actor_kind,
            "name": row.actor_name,
            **sparse(id=row.actor_id, role=row.actor_role, address=row.address),
        },
        "operation": row.operation,
        "target": {
            "kind": row.target_kind,
            **sparse(name=plain_name(name), id=row.target_id, workspace=workspace_of(name)),
        },
        "outcome": row.outcome,
        "count": row.occurrences,
        **sparse(
            code=row.code,
            requestId=row.request_id,
            commandId=row.command_id,
            before=row.before,
            after=row.after,
            position=row.position,
            hash=row.hash,
        ),
    }
