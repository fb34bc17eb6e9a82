"""The trace a run was asked for in, as a ``traceparent``; runs made before begin one of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column("dag_runs", sa.Column("trace", sa.String(55), nullable=False, server_default=sa.text("''")))
