"""Worker pools can be reserved for some workspaces."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "reserved_worker_pools",
        sa.Column("pool", sa.String(40), nullable=False),
        sa.Column("workspace", sa.String(30), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("pool", "workspace", name=op.f("pk_reserved_worker_pools")),
        comment="The workspaces that each reserved worker pool serves; pools without a row serve all",
    )
