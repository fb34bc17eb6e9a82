"""The directory of the step that called a run; a child works there where its worker has it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column."""
    op.add_column("dag_runs", sa.Column("called_from", sa.Text(), nullable=False, server_default=sa.text("''")))
