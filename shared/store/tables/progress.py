"""What running steps say of themselves, in the same schema as the tables of ``shared.store.tables``."""

from sqlalchemy import JSON, ForeignKey, Integer, String, Table

from shared.store.tables import UTCDateTime, col, metadata

__all__ = ["progress"]

progress = Table(
    "progress",
    metadata,
    col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    col("node", Integer, primary_key=True),
    col("run_attempt", Integer),
    col("number", Integer),
    col("seq", Integer),
    col("said", JSON),
    col("at", UTCDateTime),
    comment="The newest words of a node's last attempt that had any: {progress, remarks, messages}",
)
