"""What a person said about a step that waited for approval."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column."""
    op.add_column("nodes", sa.Column("approval", sa.JSON(), nullable=True))
