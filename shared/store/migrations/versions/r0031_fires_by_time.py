"""The calendar of all DAGs counts the fires of a month, and lists those of a day."""

from shared.store.migrations.online_index import create_index_online

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Create the index."""
    create_index_online("ix_cron_slots_slot_at", "cron_slots", ["slot_at"])
