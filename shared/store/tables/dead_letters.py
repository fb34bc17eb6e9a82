"""The table that mirrors the dead letters in the broker, for administrators."""

from sqlalchemy import BigInteger, String, Table, Text

from shared.store.tables.base import UTCDateTime, col, metadata

__all__ = ["dead_letters"]

dead_letters = Table(
    "dead_letters",
    metadata,
    # DeadLetter.fingerprint
    col("id", String(32), primary_key=True),
    col("place", BigInteger),
    col("message_id", String(255)),
    col("queue", String(255)),
    col("reason", Text),
    # Empty if the body cannot be read.
    col("message_type", String(40)),
    col("about", String(500)),
    col("size", BigInteger),
    col("first_seen_at", UTCDateTime),
    # What a command decided and is not carried out yet: empty, return or discard.
    col("decision", String(12)),
    col("decided_by", String(200)),
    # Why the last decision could not be carried out.
    col("failure", Text),
    comment="The first dead letters in the broker, without their bodies, and what is decided about them",
)
