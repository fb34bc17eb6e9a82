"""The tables of pools, locks and rate limits, in the same schema as those of ``shared.store.tables``."""

from sqlalchemy import Float, ForeignKey, Index, Integer, String, Table

from shared.store.tables import UTCDateTime, col, metadata

__all__ = ["pool_places", "pool_waits", "pools"]

pools = Table(
    "pools",
    metadata,
    col("name", String(100), primary_key=True),
    col("capacity", Integer),
    col("configured", Integer, nullable=True),
    col("updated_at", UTCDateTime),
    col("by", String(200)),
    comment="configured: what the configuration last said, so that a change by API stays. A pool without row has 1",
)

pool_waits = Table(
    "pool_waits",
    metadata,
    col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    col("node", Integer, primary_key=True),
    col("kind", String(8), primary_key=True),
    col("name", String(100), primary_key=True),
    col("limit", Integer),
    col("interval_s", Float),
    col("entry_order", UTCDateTime),
    col("asked_at", UTCDateTime),
    Index("ix_pool_waits_line", "kind", "name", "entry_order", "run_key", "node"),
    comment="Who waits for a place, in the order of entry_order. limit and interval_s: a rate limit's own, else 0",
)

pool_places = Table(
    "pool_places",
    metadata,
    col("id", String(36), primary_key=True),
    col("kind", String(8)),
    col("name", String(100)),
    col("run_key", String(36)),
    col("node", Integer),
    col("entered_at", UTCDateTime),
    col("until_at", UTCDateTime, nullable=True),
    Index("ix_pool_places_pool", "kind", "name"),
    Index("ix_pool_places_holder", "run_key", "node"),
    comment="Who has a place: until it is given back, or (a rate limit's) until_at, whatever becomes of the run",
)
