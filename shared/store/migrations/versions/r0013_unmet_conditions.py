"""Of each precondition of a node why it was not met."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column."""
    op.add_column("nodes", sa.Column("unmet", sa.JSON(), nullable=True))
