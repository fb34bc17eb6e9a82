"""Quotas of workspaces. Workspaces from before have none."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    """Add the columns."""
    for name in ("max_running", "max_queued", "max_dags"):
        op.add_column("workspaces", sa.Column(name, sa.Integer(), nullable=True))
