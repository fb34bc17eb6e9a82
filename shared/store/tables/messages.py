"""Tables of messages: the outbox and the inbox."""

from sqlalchemy import JSON, Index, String, Table

from shared.store.tables.base import Bytes, UTCDateTime, col, metadata

__all__ = ["inbox", "outbox"]

outbox = Table(
    "outbox",
    metadata,
    col("id", String(36), primary_key=True),
    col("route", JSON),
    col("body", Bytes),
    col("created_at", UTCDateTime),
    comment="Messages a committed decision owes the broker; a row goes when the broker confirmed it",
)

inbox = Table(
    "inbox",
    metadata,
    col("command_id", String(200), primary_key=True),
    col("type", String(40)),
    col("body_hash", String(64)),
    col("outcome", String(12)),
    col("reply", JSON),
    col("at", UTCDateTime),
    Index("ix_inbox_at", "at"),
    comment="The one outcome of every command accepted",
)
