"""A run keeps the time for which its schedule started it. It is empty for runs from before, and for all others."""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    """Add the column."""
    op.add_column("dag_runs", sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=True))
