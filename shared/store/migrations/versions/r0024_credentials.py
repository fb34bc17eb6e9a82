"""API keys can expire, and can be limited to some DAGs; failed logins are counted for all gateways.

Keys from before have no expiry and may use all DAGs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Add the columns, create the table."""
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("dags", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.create_table(
        "login_failures",
        sa.Column("guesser", sa.String(64), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wait_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("guesser", name=op.f("pk_login_failures")),
        comment="Failed logins that are not forgiven yet, counted for all gateways",
    )
    op.create_index("ix_login_failures_at", "login_failures", ["at"])
