"""Tables of the audit log: its entries, and the hash chain over them.

On Postgres the scheduler's role may only add to ``audit`` and ``audit_links``: see the migration. No entry refers to
another table, so entries outlive what they are about.
"""

from sqlalchemy import JSON, BigInteger, Index, Integer, String, Table

from shared.store.tables.base import UTCDateTime, col, metadata, where

__all__ = ["audit", "audit_links", "audit_start", "audit_unlinked"]

audit = Table(
    "audit",
    metadata,
    col("id", String(36), primary_key=True),
    col("at", UTCDateTime),
    col("actor_kind", String(16)),
    col("actor_id", String(200)),
    col("actor_name", String(200)),
    col("actor_role", String(12)),
    col("address", String(64)),
    col("request_id", String(64)),
    col("command_id", String(200)),
    col("operation", String(60)),
    col("target_kind", String(16)),
    col("target_name", String(200)),
    col("target_id", String(200)),
    col("outcome", String(8)),
    col("code", String(40)),
    col("occurrences", Integer),
    col("before", JSON),
    col("after", JSON),
    Index("ix_audit_at", "at", "id"),
    Index("ix_audit_actor_name", "actor_name", "at"),
    Index("ix_audit_actor_id", "actor_id", "at"),
    Index("ix_audit_target_name", "target_name", "at"),
    Index("ix_audit_target_id", "target_id", "at"),
    Index("ix_audit_operation", "operation", "at"),
    # Few entries are refusals. With their outcome or code they are found among these.
    Index("ix_audit_refused", "at", "id", **where("outcome = 'refused'")),
    comment="One row per operation that changed something or was refused; rows are only added",
)

audit_links = Table(
    "audit_links",
    metadata,
    col("position", BigInteger, primary_key=True, autoincrement=False),
    col("entry_id", String(36), unique=True),
    col("previous", String(64)),
    col("hash", String(64)),
    comment="The hash chain over the rows of audit. hash: SHA-256 of the previous hash and the entry",
)

audit_unlinked = Table(
    "audit_unlinked",
    metadata,
    col("entry_id", String(36), primary_key=True),
    comment="Entries of audit that are not in the chain yet; a row goes when its entry is linked",
)

audit_start = Table(
    "audit_start",
    metadata,
    col("id", Integer, primary_key=True, autoincrement=False),
    col("position", BigInteger),
    col("hash", String(64)),
    col("at", UTCDateTime),
    comment="One row after retention has removed entries: position and hash of the last link removed",
)
