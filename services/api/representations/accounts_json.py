"""The JSON of users, API keys and webhooks, from rows of the store or from a scheduler's reply.

A scheduler's reply has the same columns as the row, with times as ISO 8601 text.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.api.representations.json_values import precise, sparse
from shared.store.reads.reader import ApiKeyRow, UserRow, WebhookRow

__all__ = ["api_key", "user", "webhook"]


def user(record: UserRow | Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of a user, without the password hash."""
    row = _columns(record)
    return {
        "id": row["id"],
        "username": row["username"],
        "role": row["role"],
        "createdAt": precise(row["created_at"]),
        "updatedAt": precise(row["updated_at"]),
    }


def api_key(record: ApiKeyRow | Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of an API key, without its secret."""
    row = _columns(record)
    return {
        "id": row["id"],
        "name": row["name"],
        **sparse(description=row["description"]),
        "role": row["role"],
        "keyPrefix": row["prefix"],
        "createdAt": precise(row["created_at"]),
        "updatedAt": precise(row["updated_at"]),
        "createdBy": row["created_by"],
        "lastUsedAt": precise(row["last_used_at"]) if row["last_used_at"] else None,
        "expiresAt": precise(row["expires_at"]) if row.get("expires_at") else None,
        "dags": row.get("dags", "").split(),
    }


def webhook(record: WebhookRow | Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of a webhook, without its token."""
    row = _columns(record)
    return {
        "id": row["id"],
        "dagName": row["file_name"],
        "tokenPrefix": row["prefix"],
        "enabled": row["enabled"],
        "createdAt": precise(row["created_at"]),
        "updatedAt": precise(row["updated_at"]),
        "createdBy": row["created_by"],
        **({"lastUsedAt": precise(row["last_used_at"])} if row["last_used_at"] else {}),
    }


def _columns(record: Any) -> Mapping[str, Any]:
    return record if isinstance(record, Mapping) else asdict(record)
