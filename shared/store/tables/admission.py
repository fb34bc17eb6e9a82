"""Tables that decide when runs and steps start: queues, pauses, holds and pools."""

from sqlalchemy import Float, ForeignKey, Index, Integer, String, Table, Text

from shared.store.tables.base import UTCDateTime, col, metadata

__all__ = ["pauses", "pool_places", "pool_waits", "pools", "queue_limits", "queues", "run_holds"]

queues = Table(
    "queues",
    metadata,
    col("name", String(200), primary_key=True),
    col("kind", String(12)),
    col("max_concurrency", Integer, nullable=True),
    comment="One row per queue in use; admission locks it. kind: global (configured) or dag-based",
)

queue_limits = Table(
    "queue_limits",
    metadata,
    col("name", String(200), primary_key=True),
    col("configured", Integer, nullable=True),
    col("updated_at", UTCDateTime),
    col("by", String(200)),
    comment="configured: what the configuration last said of a global queue, so that a change by API stays",
)

pauses = Table(
    "pauses",
    metadata,
    col("scope", String(8), primary_key=True),
    col("name", String(200), primary_key=True),
    col("paused_at", UTCDateTime),
    col("paused_by", String(200)),
    col("reason", Text),
    col("resumed_at", UTCDateTime, nullable=True),
    col("catchup", String(8), nullable=True),
    comment="scope: global, queue or dag. Kept after resumed_at: late slots of that time are decided by it",
)

run_holds = Table(
    "run_holds",
    metadata,
    col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    col("after_key", String(36), nullable=True),
    col("wait_s", Integer),
    col("not_before", UTCDateTime, nullable=True),
    comment="A queued run that may not be admitted before that moment, or until wait_s after another ended",
)

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
