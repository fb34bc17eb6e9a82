"""The calendar of all DAGs counts the fires of a month, and lists those of a day.

Some databases have the index from a revision that stood before the one with which the last release ends.
"""

from shared.store.migrations.online_index import create_index_online

revision = "0053"
down_revision = "0052"


def upgrade() -> None:
    """Create the index."""
    create_index_online("ix_cron_slots_slot_at", "cron_slots", ["slot_at"], if_not_exists=True)
