"""When a dag's next run begins by its schedule, to sort lists of dags by."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; schedules made before are made again, which fills it."""
    op.add_column("schedules", sa.Column("next_start_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE schedules SET dag_version = 0")
