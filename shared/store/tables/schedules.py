"""The tables of schedules and admission, in the same schema as those of ``shared.store.tables``."""

from sqlalchemy import ForeignKey, Index, Integer, String, Table, Text, text

from shared.store.tables import UTCDateTime, col, metadata

__all__ = ["cron_slots", "pauses", "queue_limits", "run_holds", "schedules"]

_DUE_SOME_DAY = text("next_fire_at IS NOT NULL")

schedules = Table(
    "schedules",
    metadata,
    col("file_name", String(200), ForeignKey("dags.file_name", ondelete="CASCADE"), primary_key=True),
    col("dag_version", Integer),
    col("zone", String(64)),
    col("decided_until", UTCDateTime),
    col("next_fire_at", UTCDateTime, nullable=True),
    col("next_start_at", UTCDateTime, nullable=True),
    Index("ix_schedules_next_fire_at", "next_fire_at", postgresql_where=_DUE_SOME_DAY, sqlite_where=_DUE_SOME_DAY),
    comment="One row per dag. Every slot until decided_until is in the ledger; next_fire_at is the next one",
)

cron_slots = Table(
    "cron_slots",
    metadata,
    col("file_name", String(200), primary_key=True),
    col("kind", String(8), primary_key=True),
    col("slot_at", UTCDateTime, primary_key=True),
    col("until_at", UTCDateTime, nullable=True),
    col("expression", String(200)),
    col("outcome", String(8)),
    col("reason", Text),
    col("dag_name", String(200)),
    col("dag_run_id", String(64), nullable=True),
    col("decided_at", UTCDateTime),
    Index("ix_cron_slots_decided_at", "decided_at"),
    comment="The ledger: fired, skipped or missed. until_at: the row stands for all slots from slot_at to there",
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
