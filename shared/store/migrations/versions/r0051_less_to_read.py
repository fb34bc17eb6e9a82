"""The states of the sub-runs that a step calls have a column of their own, so that a change does not rewrite them all.

In rows from before, the states are among the calls, in ``children``.
"""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"


def upgrade() -> None:
    """Add the column."""
    op.add_column("nodes", sa.Column("child_states", sa.Text(), nullable=True))
