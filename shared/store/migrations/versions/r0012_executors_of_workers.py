"""The types of step that a worker says it can do."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column."""
    op.add_column("workers", sa.Column("executors", sa.JSON(), nullable=True))
