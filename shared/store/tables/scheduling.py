"""Tables of schedules and fires."""

from sqlalchemy import ForeignKey, Index, Integer, String, Table, Text

from shared.store.tables.base import UTCDateTime, col, metadata, where

__all__ = ["cron_slots", "schedules"]

schedules = Table(
    "schedules",
    metadata,
    col("file_name", String(200), ForeignKey("dags.file_name", ondelete="CASCADE"), primary_key=True),
    col("dag_version", Integer),
    col("zone", String(64)),
    col("decided_until", UTCDateTime),
    col("next_fire_at", UTCDateTime, nullable=True),
    col("next_start_at", UTCDateTime, nullable=True),
    Index("ix_schedules_next_fire_at", "next_fire_at", **where("next_fire_at IS NOT NULL")),
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
    Index("ix_cron_slots_slot_at", "slot_at"),
    # Few scheduled times are skipped or missed.
    Index("ix_cron_slots_not_fired", "outcome", "slot_at", **where("outcome <> 'fired'")),
    comment="The ledger: fired, skipped or missed. until_at: the row stands for all slots from slot_at to there",
)
