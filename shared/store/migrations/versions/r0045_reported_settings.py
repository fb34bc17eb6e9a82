"""Schedulers and workers report which settings they run with."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("services", sa.Column("settings", sa.JSON(), nullable=True))
    op.add_column("workers", sa.Column("settings", sa.JSON(), nullable=True))
