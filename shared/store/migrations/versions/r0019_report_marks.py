"""Up to which time each scheduler has recorded the reports that it received, and when its session began."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns."""
    op.add_column("services", sa.Column("reports_until", _TIME, nullable=True))
    op.add_column("services", sa.Column("session_since", _TIME, nullable=True))
