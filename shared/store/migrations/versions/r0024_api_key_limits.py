"""API keys can expire, and can be limited to some DAGs.

Keys from before have no expiry and may use all DAGs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("dags", sa.Text(), nullable=False, server_default=sa.text("''")))
