"""Tables of users, API keys and webhooks."""

from sqlalchemy import Boolean, String, Table, Text, UniqueConstraint

from shared.store.tables.base import UTCDateTime, col, metadata

__all__ = ["api_keys", "users", "webhooks"]

users = Table(
    "users",
    metadata,
    col("id", String(36), primary_key=True),
    col("username", String(200)),
    col("role", String(12)),
    col("password_hash", Text),
    col("created_at", UTCDateTime),
    col("updated_at", UTCDateTime),
    UniqueConstraint("username"),
)

api_keys = Table(
    "api_keys",
    metadata,
    col("id", String(36), primary_key=True),
    col("name", String(200)),
    col("description", Text),
    col("role", String(12)),
    col("prefix", String(16)),
    col("secret_hash", String(64)),
    col("created_by", String(200)),
    col("created_at", UTCDateTime),
    col("updated_at", UTCDateTime),
    col("last_used_at", UTCDateTime, nullable=True),
    UniqueConstraint("name"),
    UniqueConstraint("secret_hash"),
    comment="secret_hash: SHA-256 of the key, which has 32 random bytes: nothing to guess, so nothing slow",
)

webhooks = Table(
    "webhooks",
    metadata,
    col("id", String(36), primary_key=True),
    col("file_name", String(200)),
    col("prefix", String(16)),
    col("secret_hash", String(64)),
    col("enabled", Boolean),
    col("created_by", String(200)),
    col("created_at", UTCDateTime),
    col("updated_at", UTCDateTime),
    col("last_used_at", UTCDateTime, nullable=True),
    UniqueConstraint("file_name"),
)
