"""A run keeps the start of its first attempt, and who started it.

``dag_runs.first_started_at`` stays empty until the second attempt: until then ``started_at`` says the same.
``dag_runs.started_by`` is empty for runs from before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("dag_runs", sa.Column("first_started_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("dag_runs", sa.Column("started_by", sa.String(200), nullable=False, server_default=sa.text("''")))
