"""The table of stored secrets."""

from sqlalchemy import Integer, String, Table, Text

from shared.store.tables.base import UTCDateTime, col, metadata

__all__ = ["secrets"]

secrets = Table(
    "secrets",
    metadata,
    col("name", String(100), primary_key=True),
    col("version", Integer),
    col("sealed", Text),
    col("dags", Text),
    col("created_at", UTCDateTime),
    col("updated_at", UTCDateTime),
    col("by", String(200)),
    comment="sealed: the value, encrypted by a gateway with a key that only gateways and workers have",
)
