"""A scheduler says that it follows chains: workers get several steps at once only if all schedulers do (ADR 63)."""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0045"


def upgrade() -> None:
    """Add the column; it stays empty for schedulers of an earlier version."""
    op.add_column("services", sa.Column("follows_chains", sa.Boolean(), nullable=True))
