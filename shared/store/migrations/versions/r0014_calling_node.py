"""Which node of its parent called a run, and with which params."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("dag_runs", sa.Column("parent_node", sa.Integer(), nullable=True))
    op.add_column("dag_runs", sa.Column("parent_params", sa.Text(), nullable=True))
