"""Tables of users, logins that have ended or failed, API keys and webhooks."""

from sqlalchemy import Boolean, Float, Index, Integer, String, Table, Text, UniqueConstraint, text

from shared.store.tables.base import UTCDateTime, col, metadata

__all__ = ["api_keys", "ended_logins", "login_failures", "users", "webhooks"]

users = Table(
    "users",
    metadata,
    col("id", String(36), primary_key=True),
    col("username", String(200)),
    col("role", String(12)),
    col("password_hash", Text),
    col("created_at", UTCDateTime),
    col("updated_at", UTCDateTime),
    # In every login token. A new password or role raises it, which ends older tokens.
    col("token_version", Integer, server_default=text("0")),
    UniqueConstraint("username"),
)

ended_logins = Table(
    "ended_logins",
    metadata,
    col("token_id", String(64), primary_key=True),
    col("expires_at", UTCDateTime),
    Index("ix_ended_logins_expires_at", "expires_at"),
    comment="Login tokens that a logout has ended, until they expire by themselves",
)

login_failures = Table(
    "login_failures",
    metadata,
    # SHA-256 of who failed: an address, or a username at an address.
    col("guesser", String(64), primary_key=True),
    col("level", Float),
    col("at", UTCDateTime),
    col("wait_until", UTCDateTime),
    Index("ix_login_failures_at", "at"),
    comment="Failed logins that are not forgiven yet, counted for all gateways",
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
    col("expires_at", UTCDateTime, nullable=True),
    # The patterns of a DagScope, separated by spaces; empty: all DAGs.
    col("dags", Text, server_default=text("''")),
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
