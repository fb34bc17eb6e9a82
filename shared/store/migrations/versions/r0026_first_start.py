"""A run that is retried keeps the start of its first attempt (``dag_runs.first_started_at``).

The column stays empty until the second attempt: until then ``started_at`` says the same.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0022"


def upgrade() -> None:
    """Add the column."""
    op.add_column("dag_runs", sa.Column("first_started_at", sa.DateTime(timezone=True), nullable=True))
