"""A worker can be drained: since when, by whom and why. Heartbeats do not change these columns.

The calendar of all DAGs counts the fires of a month, and lists those of a day: by the index.
"""

import sqlalchemy as sa
from alembic import op

from shared.store.migrations.online_index import create_index_online

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Create the index, then add the columns."""
    create_index_online("ix_cron_slots_slot_at", "cron_slots", ["slot_at"])
    op.add_column("workers", sa.Column("drained_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("workers", sa.Column("drained_by", sa.String(200), nullable=True))
    op.add_column("workers", sa.Column("drain_reason", sa.Text(), nullable=True))
