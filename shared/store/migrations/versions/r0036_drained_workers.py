"""A worker can be drained: since when, by whom and why. Heartbeats do not change these columns."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("workers", sa.Column("drained_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("workers", sa.Column("drained_by", sa.String(200), nullable=True))
    op.add_column("workers", sa.Column("drain_reason", sa.Text(), nullable=True))
