"""Tables of the processes that send heartbeats: workers and schedulers."""

from sqlalchemy import JSON, Integer, String, Table, Text

from shared.store.tables.base import UTCDateTime, col, metadata

__all__ = ["services", "workers"]

workers = Table(
    "workers",
    metadata,
    col("worker_id", String(200), primary_key=True),
    col("incarnation", String(64)),
    col("host", String(255)),
    col("version", String(64)),
    col("labels", JSON),
    col("executors", JSON, nullable=True),
    col("slots", Integer),
    col("busy", Integer),
    col("state", String(12)),
    col("started_at", UTCDateTime),
    col("heartbeat_at", UTCDateTime),
    col("lease_until", UTCDateTime),
    col("drained_at", UTCDateTime, nullable=True),
    col("drained_by", String(200), nullable=True),
    col("drain_reason", Text, nullable=True),
    col("settings", JSON, nullable=True),
    comment="state: live, draining, stopped, lost",
)

services = Table(
    "services",
    metadata,
    col("kind", String(16), primary_key=True),
    col("instance_id", String(200), primary_key=True),
    col("host", String(255)),
    col("version", String(64)),
    col("started_at", UTCDateTime),
    col("heartbeat_at", UTCDateTime),
    col("reports_until", UTCDateTime, nullable=True),
    col("session_since", UTCDateTime, nullable=True),
    col("protocol", Integer, nullable=True),
    col("settings", JSON, nullable=True),
    comment="Scheduler replicas that were alive a moment ago",
)
